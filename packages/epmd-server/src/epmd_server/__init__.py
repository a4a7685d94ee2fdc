"""epmd-server."""
