"""Analysis: what a delivery would send is worked out, checked and frozen. Nothing is sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from django.db import transaction
from django.db.models.functions import Now
from psycopg import sql
from psycopg.types.json import Jsonb

from letterbook.control.deliveries.errors import DeliveryStateError
from letterbook.control.deliveries.models import Delivery
from letterbook.control.deliveries.queries import (
    effective_options,
    find_delivery,
    kind_of,
    locked_delivery,
    proof_mark,
)
from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.sql import cursor, statement
from letterbook.control.mailtemplates.options import PRIORITIES, Options
from letterbook.control.mailtemplates.queries import blobs
from letterbook.control.mailtemplates.waves import ONE_WAVE, parse_waves
from letterbook.control.outbox.freeze import Defaults, make_bodies, make_content
from letterbook.control.outbox.preflight import (
    Finding,
    Setup,
    check_secrecy,
    check_setup,
    check_size,
    check_templates,
    check_unsubscribe,
    check_waves,
    error,
    frozen_texts,
    known_fields,
    written_texts,
)
from letterbook.control.outbox.throughput import archive_capacity, archive_is_too_slow
from letterbook.control.platform import queries as platform
from letterbook.control.recipients.queries import attribute_types
from letterbook.mail.address import address_key
from letterbook.mail.compose import Addressee, Composer
from letterbook.mail.content import LEDGER_FIELDS, PERSON_FIELDS, Content
from letterbook.mail.dkim import make_specimen
from letterbook.mail.errors import MailError, PersonalisationError
from letterbook.mail.identity import Identity
from letterbook.mail.inspection import inspect
from letterbook.mail.status import DeliveryKind, DeliveryState, Exclusion

_ANALYZABLE: Final = (DeliveryState.EDITING, DeliveryState.ANALYZING, DeliveryState.READY)
_SAMPLE: Final = 25
_SMALL_PART: Final = 500
_LARGE_PART: Final = 1000
_MANY_MESSAGES: Final = 50_000
_PAIRS: Final = 50
"""jsonb_build_object takes a hundred arguments at most."""


class AnalysisReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an analysis found. ``estimated_bytes`` is of all messages, without the copies.

    Of the archive: ``copy_bytes`` to bring; its rate as it was measured, and the route's own limit,
    in copies a second, None where there is none; ``copies_ahead`` of other deliveries; when it
    would accept the last copy if the delivery started now, None if nothing is known of it.
    """

    target: int
    excluded: dict[str, int]
    messages: int
    copies: int
    estimated_bytes: int
    errors: list[Finding]
    warnings: list[Finding]
    kind: DeliveryKind = DeliveryKind.ORDINARY
    copy_bytes: int = 0
    archive_rate: float | None = None
    archive_rate_limit: float | None = None
    copies_ahead: int = 0
    last_copy_at: datetime | None = None


def analyze(
    actor: Actor,
    delivery_id: int,
    *,
    identity: Identity,
    defaults: Defaults,
    progress: Callable[[str], None] = lambda _: None,
) -> AnalysisReport:
    """Analyse the delivery and freeze it; it is ready unless the report has errors.

    May be repeated until the delivery starts. ``progress`` is told the step under way. Raises
    NotFoundError and DeliveryStateError.
    """
    actor.require(Right.PREPARE_DELIVERIES)
    with _analyzing(delivery_id) as delivery:
        report = _Analysis(delivery, identity, defaults, progress).run()
        Delivery.objects.filter(pk=delivery_id).update(
            state=state_after(report), analyzed_at=None if report.errors else Now()
        )
        record(
            actor,
            "analyze delivery",
            f"delivery {delivery_id}",
            after={"messages": report.messages, "errors": len(report.errors)},
        )
    return report


def state_after(report: AnalysisReport) -> DeliveryState:
    """Return where an analysis leaves its delivery: a proof with errors cannot be mended."""
    if not report.errors:
        return DeliveryState.READY
    return DeliveryState.FAILED if report.kind is DeliveryKind.PROOF else DeliveryState.EDITING


@contextmanager
def _analyzing(delivery_id: int) -> Iterator[Delivery]:
    """Show that the delivery is being analysed; on an error it can be edited again.

    The lock is a session's, so that it ends with a process that is killed.
    """
    find_delivery(delivery_id)
    with cursor() as db:
        db.execute("SELECT pg_try_advisory_lock(hashtextextended('analyze', %s))", [delivery_id])
        if not db.fetchone()[0]:
            raise DeliveryStateError(f"delivery {delivery_id} is being analysed already")
        try:
            with transaction.atomic():
                delivery = locked_delivery(delivery_id)
                if delivery.state not in _ANALYZABLE:
                    raise DeliveryStateError(
                        f"delivery {delivery_id} is {delivery.state} and can no longer be analysed"
                    )
                delivery.state = DeliveryState.ANALYZING
                delivery.save(update_fields=["state"])
            try:
                with transaction.atomic():
                    yield delivery
            except BaseException:
                Delivery.objects.filter(pk=delivery_id).update(state=DeliveryState.EDITING)
                raise
        finally:
            db.execute("SELECT pg_advisory_unlock(hashtextextended('analyze', %s))", [delivery_id])


class _Analysis:
    """The steps of one analysis, in one transaction."""

    def __init__(
        self,
        delivery: Delivery,
        identity: Identity,
        defaults: Defaults,
        progress: Callable[[str], None],
    ) -> None:
        self._delivery = delivery
        self._identity = identity
        self._defaults = defaults
        self._progress = progress
        self._options: Options = effective_options(delivery)
        self._proof = proof_mark(delivery.pk)
        self._kind = kind_of(delivery, self._proof.parent if self._proof else None)
        written = None if self._proof else self._options.waves
        self._waves = parse_waves(written) if written else ONE_WAVE
        self._setup = Setup(platform.archive(), {each.name: each for each in platform.routes()})
        self._types = dict(attribute_types())
        self._findings: list[Finding] = []

    def run(self) -> AnalysisReport:
        self._progress("checking the templates")
        content = self._check_content()
        self._progress("working out the audience")
        audience = self._expand(content)
        self._progress("trying the templates on a sample")
        bytes_each = self._try_sample(content, audience["messages"])
        if not audience["messages"]:
            self._findings.append(error("target", "nobody is left to write to"))
        self._findings += check_waves(self._options, self._waves, audience["messages"])
        copies = audience["messages"] if self._options.makes_copies else 0
        forecast = self._forecast(copies, bytes_each) if copies else {}
        report = AnalysisReport(
            target=audience["target"],
            excluded={each: audience[each] for each in Exclusion if audience[each]},
            messages=audience["messages"],
            copies=copies,
            estimated_bytes=bytes_each * audience["messages"],
            errors=[each for each in self._findings if each.level == "error"],
            warnings=[each for each in self._findings if each.level == "warning"],
            kind=self._kind,
            **forecast,
        )
        self._keep(content, report)
        return report

    def _check_content(self) -> Content:
        bodies = make_bodies(self._delivery, self._options)
        delivery = self._delivery
        content = make_content(
            delivery, self._options, bodies, self._types, self._defaults, self._proof
        )
        written = written_texts(
            self._options, delivery.markup, delivery.html_source, delivery.text_source
        )
        frozen = frozen_texts(content)
        self._findings += [
            *check_setup(self._options, self._setup),
            *bodies.findings,
            *check_templates(written, known_fields(self._types)),
            *check_secrecy(content, self._setup),
            *check_unsubscribe(frozen),
        ]
        return content

    def _expand(self, content: Content) -> dict[str, int]:
        delivery = self._delivery.pk
        archive = self._setup.archive
        keys = [address_key(each) for each in (archive.address, archive.pending) if each]
        fields = _fields_expression(_used_fields(content), known_fields(self._types))
        with cursor() as db:
            db.execute(statement("outbox", "forget_analysis"), {"delivery": delivery})
            db.execute("SELECT outbox_make_partition(%s)", [delivery])
            db.execute(
                "SELECT count(*) FROM deliveries_target t JOIN recipients_membership m "
                "USING (list_id) WHERE t.delivery_id = %s",
                [delivery],
            )
            partition = self._partition(db.fetchone()[0])
            name = "expand_proof" if self._proof else "expand_audience"
            expand = sql.SQL(statement("outbox", name)).format(fields=fields)
            db.execute(expand, {"archive_keys": keys, **partition})
            names = [column.name for column in db.description]
            audience = dict(zip(names, map(int, db.fetchone()), strict=True))
            db.execute(
                statement("outbox", "make_parts"),
                {"messages": audience["messages"], **partition},
            )
            # Of rows that it knows nothing of the planner expects one, and reads all for each.
            db.execute("SELECT outbox_analyze_partition(%s)", [self._delivery.pk])
        return audience

    def _partition(self, targeted: int) -> dict[str, Any]:
        """Return how messages are divided into waves and parts."""
        waves = self._waves.expanded(targeted)
        return {
            "delivery": self._delivery.pk,
            "email_bcc": self._options.makes_copies,
            "part_size": _LARGE_PART if targeted > _MANY_MESSAGES else _SMALL_PART,
            "sizes": [wave.size for wave in waves],
            "shares": [wave.share for wave in waves],
            "delays": [wave.after for wave in waves],
        }

    def _try_sample(self, content: Content, messages: int) -> int:
        """Compose a sample; return the mean size in octets, 0 when nothing could be composed."""
        if any(each.rule in ("template", "sender") for each in self._findings):
            return 0
        try:
            files = blobs(each.sha256 for each in content.attachments)
            # Signatures of the right length: only workers open private keys.
            specimens = [make_specimen(each) for each in content.dkim]
            composer = Composer(self._delivery.pk, content, files, self._identity, specimens)
        except MailError as mistake:
            self._findings.append(error("template", str(mistake)))
            return 0
        sizes, failures = [], []
        for addressee in self._sample(messages):
            try:
                sizes.append(len(composer.compose(addressee, datetime.now(UTC))))
            except PersonalisationError as mistake:
                failures.append(f"{addressee.address}: {mistake}")
        self._report_failures(failures, len(sizes))
        self._findings += check_size(max(sizes, default=0), self._options.makes_copies, self._setup)
        return sum(sizes) // len(sizes) if sizes else 0

    def _report_failures(self, failures: list[str], composed: int) -> None:
        if failures:
            tried = len(failures) + composed
            message = (
                f"{len(failures)} of {tried} sampled recipients cannot be rendered, "
                f"for example {'; '.join(failures[:3])}"
            )
            fatal = len(failures) * 2 > tried
            self._findings.append(
                Finding("error" if fatal else "warning", "personalisation", message)
            )

    def _sample(self, messages: int) -> list[Addressee]:
        step = max(1, messages // _SAMPLE)
        ordinals = sorted({*range(1, 6), *range(1, messages + 1, step)})
        with cursor() as db:
            db.execute(
                statement("outbox", "sample"),
                {"delivery": self._delivery.pk, "ordinals": ordinals},
            )
            return [
                Addressee(ordinal, recipient, address, _decoded(fields))
                for ordinal, recipient, address, fields in db.fetchall()
            ]

    def _forecast(self, copies: int, bytes_each: int) -> dict[str, Any]:
        """Work out what the archive has to take, and whether it can do so in time."""
        capacity = archive_capacity(self._delivery.pk)
        last_copy_at = capacity.last_copy_at(self._waves.schedule(copies))
        validity = self._options.validity.delivery_time
        if last_copy_at and (why := archive_is_too_slow(last_copy_at, validity)):
            self._findings.append(Finding("warning", "archive-capacity", why))
        return {
            "copy_bytes": copies * bytes_each,
            "archive_rate": capacity.measured,
            "archive_rate_limit": capacity.limit,
            "copies_ahead": capacity.ahead,
            "last_copy_at": last_copy_at,
        }

    def _keep(self, content: Content, report: AnalysisReport) -> None:
        with cursor() as db:
            db.execute(
                "INSERT INTO outbox_content (delivery_id, kind, content, email_bcc, "
                "retry_period, retry_max, validity, priority, resends_doubts, report) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    self._delivery.pk,
                    self._kind,
                    Jsonb(msgspec.to_builtins(content)),
                    self._options.makes_copies,
                    self._options.retries.period_time,
                    self._options.retries.max,
                    self._options.validity.delivery_time,
                    PRIORITIES[self._options.priority],
                    self._options.in_doubt == "resend",
                    Jsonb(msgspec.to_builtins(report)),
                ],
            )


def _used_fields(content: Content) -> list[str]:
    texts = frozen_texts(content)
    used = {name for source in texts.sources() for name in inspect(source, ()).fields}
    return sorted(used - set(LEDGER_FIELDS))


def _fields_expression(used: list[str], known: frozenset[str]) -> sql.Composable:
    """Return the SQL that makes the frozen fields of one recipient, empty ones left out."""
    pairs = [
        sql.SQL("{}, {}").format(sql.Literal(name), _field_value(name))
        for name in used
        if name in known
    ]
    chunks = [pairs[at : at + _PAIRS] for at in range(0, len(pairs), _PAIRS)] or [[]]
    objects = (
        sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(chunk)) for chunk in chunks
    )
    return sql.SQL("jsonb_strip_nulls({})").format(sql.SQL(" || ").join(objects))


def _field_value(name: str) -> sql.Composable:
    if name in PERSON_FIELDS:
        return sql.SQL("nullif({}, '')").format(sql.Identifier(name))
    return sql.SQL("attributes -> {}").format(sql.Literal(name))


def _decoded(fields: Any) -> dict[str, object]:
    """Django's connection gives jsonb as text."""
    return msgspec.json.decode(fields) if isinstance(fields, str) else dict(fields)
