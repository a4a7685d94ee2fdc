"""OTP's processes and behaviors for Python, on asyncio and trio."""

from otp_behaviors._errors import (
    NO_REPLY,
    BadReturn,
    CallTimeout,
    ExitError,
    Ignore,
    NameTaken,
    NoConnection,
    NoProcess,
    Stop,
    Unhandled,
)
from otp_behaviors._gen_server import GenServer
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import Process
from otp_behaviors._runtime import LocalRuntime, Runtime
from otp_behaviors._signals import Down, Exit, RemoteName
