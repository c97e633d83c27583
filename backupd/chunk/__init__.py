"""Chunks: where a file is cut, how large its chunks are, how they are named (docs/format.md, Chunks). Pure."""
