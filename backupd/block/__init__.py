"""Blocks: how sealed segments lie in one object, each block describing itself. Pure: bytes and values."""
