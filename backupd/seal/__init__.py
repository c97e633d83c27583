"""Keys and sealing: what makes bytes unreadable and unforgeable. Pure but for the system's randomness."""
