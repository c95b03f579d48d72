"""`mlops.toml`: one typed section a room, checked when it is read."""
