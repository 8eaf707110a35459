"""How fast the parts of a run are, beside what they are compared with: ./run_all.sh benchmark."""
