"""Reading what is backed up: the walk, metadata, owners, mounts."""
