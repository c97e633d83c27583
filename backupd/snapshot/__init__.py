"""Snapshots, sessions and the small records beside them. Pure: values, encodings and names."""
