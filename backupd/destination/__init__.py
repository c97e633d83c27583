"""Places that hold repositories: one narrow contract, one plugin a kind of store, wrappers of the same type."""
