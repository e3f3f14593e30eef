"""Decides what is trained when, and keeps the books of it."""
