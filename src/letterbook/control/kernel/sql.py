"""Statements that stand in files of their own, beside the reasons for their shape."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from django.db import connection


@cache
def statement(app: str, name: str) -> str:
    """Return the text of ``control/<app>/sql/<name>.sql``."""
    return files(f"letterbook.control.{app}").joinpath("sql", f"{name}.sql").read_text("utf-8")


@contextmanager
def cursor() -> Iterator[Any]:
    """Open a cursor on Django's connection. It is psycopg's, with more types than Django tells."""
    with connection.cursor() as opened:
        yield opened
