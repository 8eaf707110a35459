"""What run_all.sh calls: its options, what notebooks need, their execution, pages, publication."""
