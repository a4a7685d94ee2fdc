"""ergo-node."""
