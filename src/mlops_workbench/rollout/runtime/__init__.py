"""Starting, asking and stopping a serving runtime: processes and containers."""
