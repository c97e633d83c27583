"""Local state that can be made anew: look-up tables of index objects, what is known of unchanged files."""
