"""Directories as stored: entries, the nodes that hold them, lists of chunks. Pure: bytes and values."""
