"""What can be searched, and what it costs. Standard library only."""
