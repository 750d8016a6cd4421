"""A sender in a process of its own, and how the bench talks to it.

The child warms up, says that it is ready, waits for the word, sends, says that it is done, and
stays until the bench has read what it used.
"""

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a child is to send, and where: ports of loopback."""

    recipients: int
    archive: int
    connections: int
    messages: int
    warm_up: int
    size: int


def order() -> Order:
    """What this process was told to do."""
    return msgspec.json.decode(sys.argv[1], type=Order)


def say(word: str) -> None:
    """Tell the bench, and wait for its word."""
    print(word, flush=True)
    sys.stdin.readline()


@dataclass(frozen=True, slots=True)
class Child:
    """A child as the bench sees it."""

    popen: "subprocess.Popen[str]"

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def words(self) -> IO[str]:
        assert self.popen.stdout is not None
        return self.popen.stdout

    def expect(self, word: str) -> None:
        """Wait until the child says ``word``."""
        said = self.words.readline().strip()
        if said != word:
            raise RuntimeError(f"{self.popen.args!r} said {said!r} instead of {word!r}")

    def is_talking(self, timeout: float) -> bool:
        """Whether it says something within ``timeout`` seconds."""
        return bool(select.select([self.words], (), (), timeout)[0])

    def go_on(self) -> None:
        assert self.popen.stdin is not None
        print(file=self.popen.stdin, flush=True)


@contextmanager
def running_child(module: str, what: Order) -> Iterator[Child]:
    """Start ``python -m module``; it is ended with the block."""
    command = [sys.executable, "-m", module, msgspec.json.encode(what).decode()]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Child(process)
        finally:
            process.kill()
