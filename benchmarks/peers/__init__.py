"""Models of others that benchmarks compare with; each file is run by an interpreter that has what it imports."""
