"""Keys and sealing: what makes bytes unreadable and unforgeable. Pure; randomness is passed in or drawn from the system."""
