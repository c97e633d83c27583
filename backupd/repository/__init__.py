"""The chunk store: chunks, index, sessions and snapshots at a destination, and the workers that fill it."""
