"""Data that the examples make or fetch for themselves."""
