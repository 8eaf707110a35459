"""Tables in, numbers and sentences out."""
