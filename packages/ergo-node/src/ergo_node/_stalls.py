"""Stalls: the program has kept its event loop, or was itself stopped, for so long that peers may give us up.

The BEAM ticks from a process of the highest priority; our ticks share the loop with the user's callbacks.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final

import anyio

logger: Final = logging.getLogger("ergo_node")

LOOKS: Final = 16
"""Looks at the clock in a tick time: so a stall of a quarter of it is never overlooked."""

SHARE: Final = 0.25
"""Of the tick time, beyond which a stall is told: by then a tick is due that was not sent."""


async def watch_stalls(node: str, tick_time: float) -> None:
    """Warn of stalls, for ever.

    Args:
        node: our name, for the log.
        tick_time: after which silence peers take us for lost, in seconds.
    """
    step = tick_time / LOOKS
    while True:
        began = monotonic()
        await anyio.sleep(step)
        late = monotonic() - began - step
        if late >= SHARE * tick_time - step:
            logger.warning(
                "%s stood still for %.1f s: a callback kept the event loop, or the program was stopped."
                " After %g s (tick_time) other nodes take it for lost",
                node,
                late,
                tick_time,
            )
