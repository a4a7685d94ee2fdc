"""Ticks: how both sides know that the other still lives (kernel: net_ticktime; dist_util.erl)."""


class Ticker:
    """Decides, every `tick_time / tick_intensity` seconds, whether to send a tick and if the peer is gone.

    A check sends a tick when nothing was written since the last one, or, on a hidden connection, when nothing
    was read. A peer of which nothing was read for `tick_intensity` checks in a row is gone: that takes it
    `tick_time` to `tick_time + interval` seconds. While our own reads are paused nothing can be read, so
    silence is not counted.
    """

    __slots__ = ("_due", "_hidden", "_intensity", "_interval", "_silent", "paused", "read", "written")

    def __init__(self, now: float, tick_time: float, tick_intensity: int, *, hidden: bool) -> None:
        self._interval = tick_time / tick_intensity
        self._intensity = tick_intensity
        self._hidden = hidden
        self._due = now + self._interval
        self._silent = 0
        self.read = False
        self.written = False
        self.paused = False

    @property
    def due(self) -> float:
        """When the next check is to be made."""
        return self._due

    def check(self, now: float, *, pending: bool) -> tuple[bool, bool]:
        """Make the check if it is due; `pending` tells that output is waiting to be written.

        Returns:
            Whether to send a tick, and whether the peer is gone.
        """
        if now < self._due:
            return False, False
        # A check that comes more than an interval late says that we were stalled, not that the peer was
        # silent: what it sent meanwhile still waits in the socket.
        stalled = now >= self._due + self._interval
        self._due = now + self._interval
        if self.read:
            self._silent = 0
        elif not self.paused and not stalled:
            self._silent += 1
        tick = not pending and (not self.written or (self._hidden and not self.read))
        self.read = self.written = False
        return tick, self._silent >= self._intensity
