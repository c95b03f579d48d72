"""The fast path: an exact float64 evaluation of a fitted pipeline from plain data, with NumPy alone."""
