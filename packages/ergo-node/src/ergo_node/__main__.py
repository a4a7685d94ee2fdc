"""`python -m ergo_node` is the `ergo-node` command."""

import sys

from ergo_node.cli import main

if __name__ == "__main__":
    sys.exit(main())
