"""Registry: versions, gate, ledger, promotion."""
