"""Work in processes of its own: a queue and what runs it. Knows nothing of notebooks."""
