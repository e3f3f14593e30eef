"""What goes wrong with storage, for those who need no SQL to name it."""


class StorageError(Exception):
    """What is kept cannot be read or written as was asked: one line that says what, where, and what would be right."""
