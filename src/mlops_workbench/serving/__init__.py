"""The serving runtime: runs alone in the image, and imports nothing else of ours but `manifest`."""
