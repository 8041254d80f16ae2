"""Storage: files that are written whole or not at all, checkpoints, and the run folder."""
