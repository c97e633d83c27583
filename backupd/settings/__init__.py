"""The environment and small state files: directories, kept keys, identity, locks, zone."""
