"""Encoder-decoder models: one module for each kind in `search_spaces`, in the file of the same name."""
