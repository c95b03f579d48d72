"""Tracking: runs in MLflow, metrics, locked requirements."""
