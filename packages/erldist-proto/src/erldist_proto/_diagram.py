"""The picture of the handshake, printed from the table that runs it."""

from erldist_proto._handshake import TRANSITIONS, State


def state_diagram() -> str:
    """The handshake's states and transitions as a Mermaid diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {first}" for first in (State.AWAIT_STATUS, State.AWAIT_NAME)]
    for (state, message), (_, targets) in TRANSITIONS.items():
        lines += [f"    {state} --> {target}: {message.__name__}" for target in targets]
    lines.append(f"    {State.CLOSED} --> [*]")
    return "\n".join(lines)
