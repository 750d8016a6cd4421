"""What the figures were measured on; no names of hosts or people."""

import platform
import re
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

from letterbook.control.kernel.sql import cursor


def machine() -> dict[str, str]:
    """Describe this machine and the software that matters."""
    memory = int(_field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2
    return {
        "CPU": f"{_field('/proc/cpuinfo', 'model name')}, {cpu_count()} cores",
        "Memory": f"{memory:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "Packages": ", ".join(
            f"{name} {version(name)}" for name in ("uvloop", "psycopg", "django", "aiosmtplib")
        ),
    }


def database_version() -> str:
    """Which PostgreSQL the platform that is open runs on."""
    with cursor() as db:
        db.execute("SHOW server_version")
        return str(db.fetchone()[0])


def _field(path: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", Path(path).read_text(), re.MULTILINE)
    return found[1].strip() if found else "unknown"
