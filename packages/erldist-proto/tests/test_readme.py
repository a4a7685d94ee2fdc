import re
from pathlib import Path

import pytest
from erldist_proto import OPS, ConnectionLimits

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_quick_start_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    program, output = re.findall(
        r"```(?:python)?\n(.*?)```", README.partition("## Quick start")[2], re.DOTALL
    )[:2]
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out == output


def test_every_message_is_listed() -> None:
    missing = [kind.__name__ for kind in OPS.values() if f"`{kind.__name__}`" not in README]
    assert all(name.endswith("Tt") for name in missing)


@pytest.mark.parametrize("limit", ConnectionLimits.__slots__)
def test_every_limit_is_listed(limit: str) -> None:
    assert f"`{limit}`" in README
