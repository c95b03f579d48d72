"""Contracts that other platforms' clients speak: each translates to the same rows and the same batcher."""
