"""GenEvent: an event manager, which hands each event to all its handlers.

    caller                              kernel                          your classes
    ------                              ------                          ------------
    start(GenEvent, name="events") -->  new process, no handlers
    gen_event.add_handler(...)     -->  {add_handler, H, Args}    -->   init(args)
    notify("events", event)        -->  {notify, Event}           -->   handle_event(event), of each handler
    gen_event.call(...)            -->  {call, H, Request}        -->   handle_call(request)
                                   <--  reply                     <--   returned term
    send("events", message)        -->  anything else             -->   handle_info(message), of each handler
    delete_handler, stop …         -->  it goes                   -->   terminate(argument)

Handlers share the process of the manager and come and go while it runs; one that fails is taken out, and the
others go on. Follows `gen_event` of STDLIB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from otp_behaviors._event_handler import EventHandler
from otp_behaviors._event_manager import EventManager
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import Process


class GenEvent(Process):
    """An event manager. It is started as it is, or as a subclass that names handlers for other nodes.

    It is asked by the functions of `gen_event`: what `call` sends to a server is to it one more message for
    `handle_info`, and is not answered.
    """

    handlers: ClassVar[Sequence[type[EventHandler]]] = ()
    """Classes that may be added by their names, as other nodes do; nothing else is looked up for them."""

    debug_options: ClassVar[Sequence[Any]] = ()
    """What to debug from the start: "trace", ("log", 20), "statistics", ("install", (function, state))."""

    def init(self) -> None:
        """There is nothing to set up: handlers are added to a manager that runs."""

    @classmethod
    def __process__(cls, kernel: Kernel, args: tuple[Any, ...]) -> EventManager:
        """Return a new process for an event manager."""
        return EventManager(kernel, cls, args)
