"""The `ergo-node` command."""

from ergo_node.cli._main import main

__all__ = ["main"]
