"""The gate's checks, a small file a family: each takes a `Case` and gives `Check`s with their evidence."""
