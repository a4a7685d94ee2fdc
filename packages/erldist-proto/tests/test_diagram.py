from pathlib import Path

from erldist_proto._diagram import state_diagram
from erldist_proto._handshake import TRANSITIONS, State

README = Path(__file__).parents[1] / "README.md"


def test_the_diagram_shows_the_whole_table() -> None:
    lines = state_diagram().splitlines()
    assert len(lines) == 4 + sum(len(targets) for _, targets in TRANSITIONS.values())
    assert all(any(state in line for line in lines) for state in State)


def test_the_readme_shows_it() -> None:
    assert f"```mermaid\n{state_diagram()}\n```" in README.read_text(encoding="utf-8")
