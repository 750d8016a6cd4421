"""The rules that a delivery must pass before anything is sent (typology rules, in Campaign)."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from letterbook.control.mailtemplates.options import Options
from letterbook.control.mailtemplates.waves import MOST_WAVES, Waves
from letterbook.control.platform.queries import ArchiveView, RouteView
from letterbook.control.platform.routes import ARCHIVE, RECIPIENTS
from letterbook.duration import format_duration
from letterbook.mail.address import address_key
from letterbook.mail.content import LEDGER_FIELDS, PERSON_FIELDS, Content
from letterbook.mail.inspection import inspect
from letterbook.mail.template import Source

_UNSUBSCRIBE: Final = re.compile(
    r"unsubscri|opt-?out|desuscri|darse de baja|date de baja", re.IGNORECASE
)


class Finding(msgspec.Struct, frozen=True):
    """What a rule found. An error keeps the delivery from starting, a warning does not."""

    level: Literal["error", "warning"]
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Setup:
    """The platform as it is when the delivery is analysed."""

    archive: ArchiveView
    routes: dict[str, RouteView]


@dataclass(frozen=True, slots=True)
class Texts:
    """Every template of a message. ``html_file`` is the file that ``html`` came from."""

    subject: str
    list_unsubscribe: str | None
    headers: Mapping[str, str]
    html: str | None
    text: str | None
    html_file: str = "body.html"

    def sources(self) -> Iterator[Source]:
        """Yield each template under the name that its author knows it by."""
        yield Source("template.toml, subject", self.subject)
        if self.list_unsubscribe is not None:
            yield Source("template.toml, list_unsubscribe", self.list_unsubscribe)
        for name, value in self.headers.items():
            yield Source(f"template.toml, headers.{name}", value)
        if self.html is not None:
            yield Source(self.html_file, self.html, markup=True)
        if self.text is not None:
            yield Source("body.txt", self.text)


def written_texts(options: Options, markup: str, html: str | None, text: str | None) -> Texts:
    """Return the templates as somebody wrote them."""
    return Texts(
        options.subject, options.list_unsubscribe, options.headers, html, text, f"body.{markup}"
    )


def frozen_texts(content: Content) -> Texts:
    """Return the templates as messages are made from them."""
    return Texts(
        content.subject, content.list_unsubscribe, content.headers, content.html, content.text
    )


def error(rule: str, message: str) -> Finding:
    """Return a finding that keeps the delivery from starting."""
    return Finding("error", rule, message)


def check_setup(options: Options, setup: Setup) -> Iterator[Finding]:
    """Sender, subject, routes, and the one archive address (promise P7)."""
    if options.sender is None:
        yield error("sender", "the sender is missing: set [from] address in the template")
    if not options.subject.strip():
        yield error("subject", "the subject is missing")
    if RECIPIENTS not in setup.routes:
        yield error("route", "there is no recipients' route: `letterbook routes set recipients`")
    if options.test_smtp:
        message = "every recipient's server is asked, but nothing is sent and nothing is copied"
        yield Finding("warning", "test smtp", message)
    if options.makes_copies:
        yield from _check_archive(setup)


def _check_archive(setup: Setup) -> Iterator[Finding]:
    if ARCHIVE not in setup.routes:
        yield error(
            "route",
            "Email BCC is on, but there is no archive route: `letterbook routes set archive`",
        )
    if setup.archive.address is None:
        yield error(
            "archive address",
            "Email BCC is on, but the platform has no confirmed archive address: "
            "`letterbook archive set ADDRESS`",
        )


def check_templates(texts: Texts, known: Collection[str]) -> Iterator[Finding]:
    """Syntax and names, with file, line and column."""
    for source in texts.sources():
        for mistake in inspect(source, known).errors:
            yield error("template", str(mistake))


def check_secrecy(content: Content, setup: Setup) -> Iterator[Finding]:
    """Nothing that a recipient's server is told may hold the archive address (promise P3)."""
    ours = {
        "the sender": content.sender,
        "reply_to": content.reply_to,
        "the error address": content.error_address,
    }
    name = Source("template.toml, from.name", content.sender_name)
    for archive in filter(None, (setup.archive.address, setup.archive.pending)):
        for what, address in ours.items():
            if address and address_key(address) == address_key(archive):
                yield error(
                    "archive address", f"{what} is the archive address, which no recipient may see"
                )
        for source in (name, *frozen_texts(content).sources()):
            if archive.casefold() in source.text.casefold():
                yield error("archive address", f"{source.file} contains the archive address")


def check_unsubscribe(texts: Texts) -> Iterator[Finding]:
    """Somebody who wants no more letters must find a way to say so."""
    bodies = (texts.html or "", texts.text or "")
    if not texts.list_unsubscribe and not any(map(_UNSUBSCRIBE.search, bodies)):
        yield Finding(
            "warning", "unsubscribe", "there is no unsubscribe link and no list_unsubscribe"
        )


def check_size(largest: int, bcc: bool, setup: Setup) -> Iterator[Finding]:
    """``largest``: octets of the largest message of the sample."""
    for name in (RECIPIENTS, ARCHIVE) if bcc else (RECIPIENTS,):
        limit = setup.routes[name].size_limit if name in setup.routes else None
        if limit and largest > limit:
            yield error(
                "size",
                f"a message has {largest:,} octets and the {name} route takes {limit:,} at most",
            )


def check_waves(options: Options, waves: Waves, messages: int) -> Iterator[Finding]:
    """Every message has a wave, and every wave begins within the validity, with time to retry."""
    shortfall = waves.shortfall(messages)
    if shortfall:
        yield error(
            "waves",
            f"{shortfall:,} of {messages:,} messages are in no wave: end with a wave of the rest, "
            f"or use larger ones ({MOST_WAVES:,} waves at most)",
        )
    last = waves.last_start(messages)
    if not last:
        return
    validity, retries = options.validity.delivery_time, options.retries
    shown = f"the last wave begins {format_duration(last)} after the start"
    if last >= validity:
        yield Finding(
            "warning",
            "waves",
            f"{shown}, and the validity ends after {format_duration(validity)}: "
            "its messages will expire unsent",
        )
    elif last + retries.period_time * retries.max > validity:
        yield Finding(
            "warning",
            "waves",
            f"{shown}, which leaves {format_duration(validity - last)} of the validity; "
            f"{retries.max} retries take {format_duration(retries.period_time * retries.max)}: "
            "leave time for retries",
        )


def known_fields(attributes: Collection[str]) -> frozenset[str]:
    """Return what a template may call ``recipient.<name>``."""
    return frozenset((*LEDGER_FIELDS, *PERSON_FIELDS, *attributes))
