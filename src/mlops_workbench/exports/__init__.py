"""Files for other tools, one module per tool."""
