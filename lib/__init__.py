"""A study of BERT, low-resource text classification and active learning."""
