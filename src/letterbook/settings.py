"""Every setting of Letterbook, declared once.

A setting is read from ``LETTERBOOK_<NAME>`` in the environment, else from ``letterbook.toml``
(at ``LETTERBOOK_CONFIG``, else in the data folder), else it has its default. An unknown or
unreadable setting stops the start. ``docs/reference/settings.md`` is made from this declaration.
"""

import difflib
import ipaddress
import os
import re
import socket
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from letterbook.duration import format_duration, parse_duration
from letterbook.errors import ConfigurationError, LetterbookError
from letterbook.mail.address import normalise_address
from letterbook.toml import TomlError, read_toml

PREFIX: Final = "LETTERBOOK_"
CONFIG_VARIABLE: Final = "LETTERBOOK_CONFIG"
CONFIG_FILE: Final = "letterbook.toml"


class SettingsError(ConfigurationError):
    """A setting is unknown or has a value that cannot be used."""


def default_data_folder() -> Path:
    """``/var/lib/letterbook`` for root, else the user's data folder; never the current folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/letterbook")
    home = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".local" / "share") / "letterbook"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("it must be a text that is not empty")
    return value.strip()


def _path(value: object) -> Path:
    try:
        return Path(_text(value)).expanduser().absolute()
    except RuntimeError as error:  # ~somebody, who is unknown here
        raise ValueError(str(error)) from error


def _whole(lowest: int, highest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not text.isdecimal() or not lowest <= int(text) <= highest:
            raise ValueError(f"it must be a whole number from {lowest} to {highest}")
        return int(text)

    return read


def _duration(value: object) -> timedelta:
    duration = parse_duration(_text(value))
    if not duration:
        raise ValueError("it must be longer than 0s")
    return duration


def _choice(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"it must be one of {', '.join(words)}")
        return str(value)

    return read


def _switch(value: object) -> bool:
    words = {"on": True, "true": True, "off": False, "false": False}
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise ValueError("it must be on or off") from None


def _web_address(value: object) -> str:
    text = _text(value).rstrip("/")
    if not re.fullmatch(r"https?://[^/\s?#]+(/[^\s?#]*)?", text):
        raise ValueError("it must be an address such as https://letters.example.com")
    return text


def _database(value: object) -> str:
    text = _text(value)
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("it must be an address such as postgresql://user@host/letterbook")
    return text


def _host(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"[A-Za-z0-9_.\[\]:-]{1,255}", text):
        raise ValueError("it must be a host's name such as mail.example.com")
    return text


def _server(value: object) -> tuple[str, int]:
    text = _text(value)
    try:
        return str(ipaddress.ip_address(text)), 53
    except ValueError:
        pass
    try:
        parts = urllib.parse.urlsplit(f"//{text}")
        return str(ipaddress.ip_address(parts.hostname or "")), parts.port or 53
    except ValueError:
        raise ValueError(
            "it must be an IP address, with or without a port: 192.0.2.53:53 or [2001:db8::53]:53"
        ) from None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to listen at; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _endpoint(value: object) -> Endpoint:
    host, _, port = _text(value).rpartition(":")
    if not host or not port.isdecimal() or len(port) > 5 or int(port) > 65_535:
        raise ValueError("it must be an address and a port such as 127.0.0.1:9464")
    return Endpoint(_host(host).strip("[]"), int(port))


def _zone(value: object) -> str:
    try:
        return ZoneInfo(_text(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones
        raise ValueError("it must be a time zone such as Europe/Madrid") from None


def _address(value: object) -> str:
    return normalise_address(_text(value))


def _setting(
    sentence: str,
    read: Callable[[object], Any],
    *,
    default: object = None,
    factory: Callable[[], object] | None = None,
    shown: str | None = None,
    secret: bool = False,
) -> Any:
    metadata = {"sentence": sentence, "read": read, "shown": shown}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an administrator may decide outside the database."""

    data: Path = _setting(
        "Folder that holds the embedded database and the keys.",
        _path,
        factory=default_data_folder,
        shown="/var/lib/letterbook for root, else the user's data folder",
    )
    database_url: str | None = _setting(
        "PostgreSQL (14 or newer) to use instead of the embedded one, as a postgresql:// URL.",
        _database,
        shown="the embedded PostgreSQL",
        secret=True,
    )
    seal_key: str | None = _setting(
        "Key that seals the secrets in the database: 32 bytes in base64, the same on every host.",
        _text,
        shown="the one in seal_key_file",
        secret=True,
    )
    seal_key_file: Path | None = _setting(
        "File with the key that seals the secrets; made on the first start with the embedded "
        "database.",
        _path,
        shown="seal.key in the data folder",
    )
    error_address: str | None = _setting(
        "Address that bounces come back to when a template names none (MAIL FROM).",
        _address,
        shown="the sender's address",
    )
    hello: str = _setting(
        "Name of this host in EHLO.", _host, factory=socket.getfqdn, shown="the host's full name"
    )
    base_url: str = _setting(
        "Address under which recipients reach this platform's public pages.",
        _web_address,
        default="http://localhost:8000",
    )
    time_zone: str = _setting(
        "Time zone of the platform, as in the IANA database.", _zone, default="UTC"
    )
    language: str = _setting(
        "Language of the platform and of a recipient who has none.",
        _choice("en", "es"),
        default="en",
    )
    in_flight: int = _setting(
        "The window: messages that one worker may have between intent and outcome.",
        _whole(1, 10_000),
        default=256,
    )
    connections: int = _setting(
        "SMTP connections that one worker opens to each route at most; a route's own limit is of "
        "all workers together.",
        _whole(1, 1_000),
        default=10,
    )
    chunking: bool = _setting(
        "Whether to send up to three messages ahead of their answers where CHUNKING is offered.",
        _switch,
        default=True,
        shown="on",
    )
    lease: timedelta = _setting(
        "How long a worker holds a part without renewing it; takeover waits for its end.",
        _duration,
        default=timedelta(seconds=4),
    )
    drain: timedelta = _setting(
        "How long a worker that is told to end (SIGTERM) waits for what is in flight.",
        _duration,
        default=timedelta(seconds=30),
    )
    connect_timeout: timedelta = _setting(
        "How long to wait for a connection and a greeting.",
        _duration,
        default=timedelta(seconds=30),
    )
    reply_timeout: timedelta = _setting(
        "How long to wait for the reply to an SMTP command.",
        _duration,
        default=timedelta(seconds=60),
    )
    final_reply_timeout: timedelta = _setting(
        "How long to wait for the reply to the final dot (RFC 5321, 4.5.3.2.6: 10 minutes).",
        _duration,
        default=timedelta(minutes=10),
    )
    dns: tuple[str, int] | None = _setting(
        "DNS server that `letterbook check --domain` asks, as ADDRESS or ADDRESS:PORT.",
        _server,
        shown="the system's",
    )
    metrics: Endpoint | None = _setting(
        "Where the worker shows its metrics to Prometheus, such as 127.0.0.1:9464; port 0 takes "
        "a free one. Who can reach it can read it.",
        _endpoint,
        shown="nowhere",
    )
    log_format: str = _setting(
        "How the worker writes its log.", _choice("console", "json"), default="console"
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """A value as it was written, and where."""

    value: object
    where: str


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from ``environ`` (default: the process's) and ``letterbook.toml``.

    Raises SettingsError, naming the variable or the file and line.
    """
    environ = os.environ if environ is None else environ
    found = _from_environment(environ)
    data = _read("data", found["data"]) if "data" in found else default_data_folder()
    found = _from_file(environ, data) | found
    return Settings(**{name: _read(name, item) for name, item in found.items()})


def describe_settings() -> Iterator[tuple[str, str, str]]:
    """Yield (environment variable, default as text, sentence) for each setting."""
    for declared in fields(Settings):
        shown = declared.metadata["shown"] or _as_text(declared.default)
        yield PREFIX + declared.name.upper(), shown, declared.metadata["sentence"]


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Found]:
    found = {}
    for variable, value in environ.items():
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE:
            name = variable.removeprefix(PREFIX).lower()
            where = f"{variable} in the environment"
            _require_known(name, where)
            found[name] = _Found(value, where)
    return found


def _from_file(environ: Mapping[str, str], data: Path) -> dict[str, _Found]:
    named = environ.get(CONFIG_VARIABLE)
    path = _config_file(named) if named else data / CONFIG_FILE
    try:
        document = read_toml(path)
    except FileNotFoundError:
        if named:
            raise SettingsError(f"{CONFIG_VARIABLE} names {path}, which does not exist") from None
        return {}
    except TomlError as error:
        raise SettingsError(str(error)) from error
    found = {}
    for name, value in document.values.items():
        where = f"{name} in {path}, line {document.line((name,))}"
        _require_known(name, where)
        found[name] = _Found(value, where)
    return found


def _config_file(named: str) -> Path:
    try:
        return _path(named)
    except ValueError as error:
        raise SettingsError(f"{CONFIG_VARIABLE} cannot be used: {error}") from error


def _require_known(name: str, where: str) -> None:
    known = [declared.name for declared in fields(Settings)]
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; see docs/reference/settings.md"
    raise SettingsError(f"unknown setting {where}{hint}")


def _read(name: str, found: _Found) -> Any:
    declared = next(each for each in fields(Settings) if each.name == name)
    try:
        return declared.metadata["read"](found.value)
    except (ValueError, LetterbookError) as error:
        raise SettingsError(f"{found.where} cannot be used: {error}") from error


def _as_text(value: object) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)
