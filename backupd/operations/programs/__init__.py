"""Programs of others that jobs run: as whom, which of them, with what around them, what they say, how they end."""
