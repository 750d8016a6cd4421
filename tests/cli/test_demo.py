"""The demonstration, as people and scripts run it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

KEYS = [
    "recipients", "sent", "copies", "missing", "different", "leaked", "ahead", "seconds",
    "msg_per_s",
]  # fmt: skip
PEOPLE = 40


def demo(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "letterbook", "demo", "--recipients", str(PEOPLE), *arguments],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def check_result(line: bytes) -> None:
    result = json.loads(line)
    assert list(result) == KEYS
    assert [result[key] for key in KEYS[:3]] == [PEOPLE] * 3
    assert [result[key] for key in KEYS[3:7]] == [0] * 4


def test_once_ends_by_itself_with_the_promises_held_and_the_result_last(tmp_path: Path):
    out, _ = (process := demo(tmp_path, "--once", "--json")).communicate(timeout=60)
    assert process.returncode == 0
    check_result(out.splitlines()[-1])
    assert list(tmp_path.iterdir()) == []


def test_it_stays_until_it_is_ended_with_the_result_last_and_leaves_nothing(tmp_path: Path):
    process = demo(tmp_path, "--json")
    assert process.stdout
    assert process.stderr
    line = process.stdout.readline()
    while b"Ctrl-C" not in process.stderr.readline():
        assert process.poll() is None
    assert list(tmp_path.iterdir()) != []
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, b"")
    check_result(line)
    assert list(tmp_path.iterdir()) == []
