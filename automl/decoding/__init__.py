"""Decoding: from an encoded source to target tokens, in one compiled loop that stops when every row has ended."""
