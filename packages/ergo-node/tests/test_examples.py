"""The examples that need this package's own dependencies alone."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_01_gen_server_prints_what_the_original_prints() -> None:
    command = [sys.executable, str(EXAMPLES / "01_gen_server.py"), "--fast"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout.splitlines() == [
        "Init: args [100]",
        'HandleCast: "hey" (state value 100)',
        'HandleCast: "hi" (state value 101)',
        'HandleCast: "hi" (state value 102)',
        'HandleCast: "hi" (state value 103)',
        'HandleInfo: "hello" (state value 104)',
        'HandleInfo: "hello" (state value 105)',
        'HandleInfo: "hello" (state value 106)',
        'Terminate: "normal"',
    ]
    assert result.stderr == ""


def test_05_bridge_calls_from_one_cluster_into_the_other() -> None:
    command = [sys.executable, str(EXAMPLES / "05_bridge.py")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout.splitlines() == [
        "till reaches shop: False",
        "price of tea, over the bridge: 3",
        "red:  ['left@127.0.0.1', 'till@127.0.0.1']",
        "blue: ['right@127.0.0.1', 'shop@127.0.0.1']",
    ]
    assert result.stderr == ""
