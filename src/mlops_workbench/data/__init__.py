"""Data: frames by name, fingerprints and snapshots, contracts."""
