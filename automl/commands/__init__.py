"""The commands, one file a group; each imports late what it needs."""
