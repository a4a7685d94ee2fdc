"""Tools for tests of programs that live on a network: real sockets, real nodes, and faults between them.

`FaultProxy` stands between two nodes, of Python or of Erlang, and does to their connection what networks do.
"""

from ergo_node.testing._fault_proxy import FaultProxy, Way

__all__ = ["FaultProxy", "Way"]
