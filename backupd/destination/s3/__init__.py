"""S3 and every store that speaks like it."""
