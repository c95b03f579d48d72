"""Everything derived from the verbs: parsers, JSON payloads, descriptions, reference."""
