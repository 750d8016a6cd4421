"""Killing a process again and again, at moments that its progress names."""

import random
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

_LOOK: Final = 0.01


def moments(seed: int, count: int, total: int) -> list[int]:
    """Return ``count`` different moments of a job of ``total`` steps, in order."""
    dice = random.Random(f"{seed} moments")  # noqa: S311 - no secret is made of it
    return sorted(dice.sample(range(1, max(total * 19 // 20, count + 1)), count))


def kill_at(
    moments: Sequence[int],
    progress: Callable[[], int],
    spawn: Callable[[], "subprocess.Popen[bytes]"],
    *,
    seconds: float,
) -> "subprocess.Popen[bytes]":
    """Kill (-9) what ``spawn`` starts as soon as ``progress`` reaches each of the moments.

    Return the process after the last kill, running. Raises TimeoutError when the next moment is
    not reached within ``seconds``.
    """
    process = spawn()
    for moment in moments:
        deadline = time.monotonic() + seconds
        while progress() < moment:
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise TimeoutError(f"moment {moment} was not reached within {seconds:g} s")
            time.sleep(_LOOK)
        process.kill()
        process.wait()
        process = spawn()
    return process
