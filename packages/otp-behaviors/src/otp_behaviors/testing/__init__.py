"""Tools to test what is built on otp-behaviors, without a clock, an event loop, a network or mocks.

`Simulation` runs whole clusters in virtual time from a seed; `RecordingRuntime` runs one server and writes
down what its callbacks do.
"""

from otp_behaviors.testing._chance import Chance
from otp_behaviors.testing._consistency import tables
from otp_behaviors.testing._events import Event
from otp_behaviors.testing._guarantees import violations
from otp_behaviors.testing._recording import Probe, RecordingRuntime
from otp_behaviors.testing._simulated_node import SimulatedNode
from otp_behaviors.testing._simulation import Simulation, Stuck
from otp_behaviors.testing._workload import Workload

__all__ = [
    "Chance",
    "Event",
    "Probe",
    "RecordingRuntime",
    "SimulatedNode",
    "Simulation",
    "Stuck",
    "Workload",
    "tables",
    "violations",
]

for _public in [globals()[name] for name in __all__]:
    if isinstance(_public, type):
        _public.__module__ = __name__
del _public
