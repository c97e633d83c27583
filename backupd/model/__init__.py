"""Values that cross process borders: orders in, events and results out."""
