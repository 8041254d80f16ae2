"""Evaluation: a trained model to look at, metrics, pictures and cards."""
