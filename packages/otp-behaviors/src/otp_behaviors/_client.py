"""The process that stands for the program: its calls come from it, and what it starts are its children."""

from __future__ import annotations

from otp_behaviors._kernel import Kernel
from otp_behaviors._process import LocalProcess
from otp_behaviors._process_table import IDLE


class ClientProcess(LocalProcess):
    """Stands for the tasks outside of any process. It drops what it is sent."""

    __slots__ = ()

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.trap_exit = True

    @property
    def mortal(self) -> bool:
        """It lives as long as the runtime."""
        return False

    @property
    def initial_call(self) -> tuple[str, str, int]:
        """The runtime itself."""
        return ("otp_behaviors._runtime", "Runtime", 0)

    def turn(self) -> int:
        """Drop messages: nobody outside of a process can receive."""
        self.mailbox.clear()
        self.status = IDLE
        return 1
