"""Runs: what a run is to be, and the engine that trains it inside its folder."""
