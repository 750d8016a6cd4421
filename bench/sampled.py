"""Runs ``letterbook`` and samples where its processor time goes; see ``bench.profile``.

The kernel sends SIGPROF for each millisecond of processor time that was used, so that neither
waiting nor other processes on the machine distort the picture. Time in C counts for the line of
Python that called it.
"""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

OUTPUT: Final = "BENCH_SAMPLES"
PERIOD: Final = 0.001
_stacks: Counter[tuple[str, ...]] = Counter()


def _sample(_signal: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        code = frame.f_code
        module = "/".join(Path(code.co_filename).parts[-2:])
        stack.append(f"{code.co_qualname} ({module})")
        frame = frame.f_back
    _stacks[tuple(stack)] += 1


def _start(*_: object) -> None:
    """SIGUSR1: what was before (starting, warming up) does not count."""
    _stacks.clear()
    signal.setitimer(signal.ITIMER_PROF, PERIOD, PERIOD)


def _write(path: Path) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    path.write_text(json.dumps([[list(stack), count] for stack, count in _stacks.items()]))


def main() -> None:
    """Run the command line given, then write the samples."""
    path = Path(os.environ.pop(OUTPUT))
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR1, _start)
    from letterbook.cli import main as letterbook  # noqa: PLC0415 (it is what is measured)

    try:
        letterbook()
    finally:
        _write(path)


if __name__ == "__main__":
    sys.argv[0] = "letterbook"
    main()
