"""An import takes the same memory however long the file is."""

import subprocess
import sys
from pathlib import Path

from tests.house import House

IMPORT = """
import os, sys
from pathlib import Path
from letterbook.control.project.configure import prepare, use_database
prepare()
use_database(os.environ["LETTERBOOK_DATABASE_URL"])
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.recipients.importing import import_recipients
path = Path(sys.argv[1])
report = import_recipients(
    SYSTEM, path, path.stem, mapping={"points": "int"}, rejects_file=path.with_suffix(".rejects")
)
status = Path("/proc/self/status").read_text()
peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
print(report.rows, report.new, report.merged, report.rejected, peak)
"""


def write(path: Path, rows: int) -> Path:
    """Write a file in which one row in a hundred is rejected and one merged into another."""
    with path.open("w", encoding="utf-8") as file:
        file.write("email,first_name,city,points\n")
        for n in range(rows):
            match n % 100:
                case 98:
                    address = f"broken {n}@"
                case 99:
                    address = f"user{n - 2}@example.org"
                case _:
                    address = f"user{n}@example.org"
            file.write(f"{address},Ana {n},Málaga,{n}\n")
    return path


def test_memory_stays_constant(own_house: House):
    sizes = (20_000, 200_000)
    # The kernel's high-water mark of the process itself: what getrusage tells of a process
    # just started may be that of the one that started it.
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", IMPORT, str(write(own_house.folder / f"{rows}.csv", rows))],
            env=own_house.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rows in sizes
    ]
    peaks = []
    for rows, process in zip(sizes, processes, strict=True):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        *counts, peak = map(int, output.split())
        assert counts[0] == rows
        assert counts[2:] == [rows // 100, rows // 100]
        peaks.append(peak)
    small, large = peaks
    assert large < 1.3 * small
