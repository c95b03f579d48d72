"""Retraining: notebooks as jobs."""
