"""From the user's files to arrays of token ids."""
