"""Streams: commands whose output is stored, and databases that are filled from it."""
