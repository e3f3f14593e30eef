"""Searches encoder, decoder and attention configurations for (source, target) pairs."""
