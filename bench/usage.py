"""What processes have used, as /proc tells it: processor time and memory."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of one process, user and system."""
    utime, stime, *_ = _times(pid)
    return (utime + stime) / _TICK


def family_cpu_seconds(pid: int) -> float:
    """Processor time of a process and all its descendants, those that have ended included."""
    children = defaultdict(list)
    for each in Path("/proc").iterdir():
        if each.name.isdecimal():
            try:
                children[int(_stat(int(each.name))[1])].append(int(each.name))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    total, waiting = 0, [pid]
    while waiting:
        member = waiting.pop()
        try:
            total += sum(_times(member))
        except (FileNotFoundError, ProcessLookupError):
            continue
        waiting += children[member]
    return total / _TICK


def machine_cpu_seconds() -> float:
    """Processor time that all cores have spent at work, for whomever; stolen time included."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, irq, softirq, steal = (int(each) for each in fields[:8])
    return (user + nice + system + irq + softirq + steal) / _TICK


def peak_mib(pid: int) -> float:
    """The most resident memory that a process ever had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _times(pid: int) -> tuple[int, int, int, int]:
    """Own user and system time, and that of children that were waited for, in ticks."""
    fields = _stat(pid)
    utime, stime, ended_utime, ended_stime = (int(each) for each in fields[11:15])
    return utime, stime, ended_utime, ended_stime
