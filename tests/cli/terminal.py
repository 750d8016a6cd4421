"""The command line as a user has it, without a process for each command."""

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from letterbook.cli import main
from tests.house import House, in_django


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str


class Terminal:
    """Runs commands in a house; each must end with the status that is expected of it."""

    def __init__(self, house: House) -> None:
        self.house = house

    def __call__(self, *arguments: object, status: int = 0, **environment: str) -> Done:
        done = self._run(tuple(map(str, arguments)), environment)
        assert done.status == status, done
        # 0 done; 1 refused or failed, with a message; 2 wrong usage, with a message.
        assert status == 0 or done.stderr.strip(), done
        assert "Traceback" not in done.stderr, done
        return done

    def json(self, *arguments: object, status: int = 0) -> Any:
        """What a command prints with --json: one line, and nothing else."""
        (line,) = self(*arguments, "--json", status=status).stdout.splitlines()
        return json.loads(line)

    @in_django
    def _run(self, arguments: tuple[str, ...], environment: dict[str, str]) -> Done:
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.update(self.house.environment | environment)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                status = _status(arguments)
        finally:
            for name in set(os.environ) - set(before):
                del os.environ[name]
            os.environ.update(before)
        return Done(status, out.getvalue(), err.getvalue())


def _status(arguments: tuple[str, ...]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
