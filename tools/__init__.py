"""What keeps the project's own pages up to date. Run from the root: ``python -m tools.<name>``."""
