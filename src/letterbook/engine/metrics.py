"""Every metric, declared once. ``docs/operate/metrics.md`` is made from these declarations.

Counters are counted once a batch, never once a message; gauges are read when somebody asks.
A worker tells what it does itself, and what the ledger holds: the same on every worker, so take
``max`` over the workers there and never a sum.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from letterbook.engine.work import ARCHIVE, RECIPIENTS, Letter, Outcome, Setback
from letterbook.mail.status import CopyStatus, DeliveryState, MessageStatus

SAMPLE: Final = 16
"""One message in so many is timed by itself: an observation costs more than a letter can spare."""

_BOUNDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Metric(NamedTuple):
    """A metric: its name, its kind, what it says, and its label with all the words it can have."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    sentence: str
    label: str = ""
    words: tuple[str, ...] = ()


MESSAGES: Final = Metric(
    "letterbook_messages_total",
    "counter",
    "Outcomes of messages that went through this worker and are committed; a message that is "
    "deferred counts each time. What expired, or is in doubt after a takeover, is in "
    "letterbook_ledger_messages only.",
    "outcome",
    ("sent", "deferred", "failed", "in_doubt"),
)
COPIES: Final = Metric(
    "letterbook_copies_total",
    "counter",
    "What became of copies, as this worker has committed it: accepted by the archive, owed (the "
    "message goes first), refused, or postponed (tried again).",
    "outcome",
    ("accepted", "owed", "refused", "postponed"),
)
STAGES: Final = Metric(
    "letterbook_stage_seconds",
    "histogram",
    "Time in a stage. write: to compose a message, the mean of up to 16. deposit: from the queue "
    "to the archive's 250, and send: from the intent to the reply, one message in 16 each. "
    "intent and settle: a batch's commit.",
    "stage",
    ("write", "deposit", "intent", "send", "settle"),
)
ARCHIVE_LAG: Final = Metric(
    "letterbook_archive_lag_seconds",
    "gauge",
    "How long the oldest copy that this worker has to deposit has waited for the archive's 250; "
    "0 when it has none.",
)
IN_FLIGHT: Final = Metric(
    "letterbook_in_flight",
    "gauge",
    "Messages of this worker between intent and outcome; never more than LETTERBOOK_IN_FLIGHT.",
)
CONNECTIONS: Final = Metric(
    "letterbook_connections",
    "gauge",
    "SMTP connections of this worker, those being opened too.",
    "route",
    (RECIPIENTS, ARCHIVE),
)
QUEUED: Final = Metric(
    "letterbook_queued",
    "gauge",
    "Messages (route recipients) and copies (route archive) of this worker that wait for a "
    "connection.",
    "route",
    (RECIPIENTS, ARCHIVE),
)
ROUTE_UP: Final = Metric(
    "letterbook_route_up",
    "gauge",
    "Whether the route works, as this worker knows: 1 or 0.",
    "route",
    (RECIPIENTS, ARCHIVE),
)
LEDGER_UP: Final = Metric(
    "letterbook_ledger_up",
    "gauge",
    "Whether the ledger could be read when this page was asked for: 1 or 0. At 0 the other "
    "letterbook_ledger metrics are as they were last.",
)
LEDGER_MESSAGES: Final = Metric(
    "letterbook_ledger_messages",
    "gauge",
    "Messages in the ledger, of all deliveries.",
    "status",
    tuple(MessageStatus),
)
LEDGER_COPIES: Final = Metric(
    "letterbook_ledger_copies",
    "gauge",
    "Copies in the ledger, of all deliveries.",
    "status",
    tuple(CopyStatus),
)
LEDGER_DELIVERIES: Final = Metric(
    "letterbook_ledger_deliveries", "gauge", "Deliveries.", "state", tuple(DeliveryState)
)
LEDGER_LAG: Final = Metric(
    "letterbook_ledger_archive_lag_seconds",
    "gauge",
    "How long ago the oldest part was begun of which a copy is not accepted yet: one that a "
    "delivery under way waits for, or one that is owed. 0 when there is none.",
)
LEDGER_WORKERS: Final = Metric(
    "letterbook_ledger_workers", "gauge", "Workers that gave a sign of life in the last 10 s."
)
OPEN_ALERTS: Final = Metric(
    "letterbook_ledger_open_alerts",
    "gauge",
    "Alerts whose cause lasts.",
    "cause",
    (
        *("held", "archive_full", "copies_owed", "in_doubt", "copies_returned", "brake"),
        "failed",
    ),
)
UNTOLD_ALERTS: Final = Metric(
    "letterbook_ledger_untold_alerts",
    "gauge",
    "Alerts that a channel has not taken yet although it was tried.",
    "channel",
    ("mail", "webhook", "command"),
)

WORKER: Final = (
    *(MESSAGES, COPIES, STAGES, ARCHIVE_LAG, IN_FLIGHT, CONNECTIONS, QUEUED, ROUTE_UP, LEDGER_UP),
)
LEDGER: Final = (
    *(LEDGER_MESSAGES, LEDGER_COPIES, LEDGER_DELIVERIES, LEDGER_LAG, LEDGER_WORKERS),
    *(OPEN_ALERTS, UNTOLD_ALERTS),
)


class Metrics:
    """What one worker counts. All series are there from the start, at zero."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._messages = _counters(self.registry, MESSAGES)
        self._copies = _counters(self.registry, COPIES)
        self._stages = {
            stage: histogram.observe
            for stage, histogram in _histograms(self.registry, STAGES).items()
        }
        self._gauges = {
            metric.name: _gauges(self.registry, metric)
            for metric in WORKER
            if metric.kind == "gauge"
        }
        self._ledger = {metric.name: _gauges(self.registry, metric) for metric in LEDGER}

    def watch(self, metric: Metric, read: Callable[[], float], word: str = "") -> None:
        """Let the gauge ``metric`` be what ``read`` returns whenever it is asked for."""
        self._gauges[metric.name][word].set_function(read)

    def ledger(self, rows: Iterable[tuple[str, str, float]] | None) -> None:
        """Take over the rows of the view ``outbox_figures``; None: it could not be read."""
        self._gauges[LEDGER_UP.name][""].set(rows is not None)
        if rows is not None:
            take_figures(self._ledger, rows)

    def stage(self, name: str, seconds: float) -> None:
        """Note a time in a stage."""
        self._stages[name](seconds)

    def settled(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes that are committed."""
        self._count_messages(outcome.status for outcome in outcomes)

    def set_back(self, setbacks: Iterable[Setback]) -> None:
        """Count what left the pipeline before its intent: failures, copies refused or postponed."""
        setbacks = list(setbacks)
        self._count_messages(each.status for each in setbacks if each.failure is not None)
        judged = [each for each in setbacks if each.failure is None]
        refused = sum(each.copy is CopyStatus.REFUSED for each in judged)
        self._copies["refused"].inc(refused)
        self._copies["postponed"].inc(len(judged) - refused)

    def copied(self, letters: Iterable[Letter], granted: Iterable[Letter] = ()) -> None:
        """Count receipts that are committed, and the copies that ``granted`` letters now owe."""
        self._copies["accepted"].inc(sum(each.receipt is not None for each in letters))
        owed = CopyStatus.OWED
        self._copies["owed"].inc(
            sum(each.copy is owed and each.row.copy is not owed for each in granted)
        )

    def _count_messages(self, statuses: Iterable[MessageStatus]) -> None:
        for status, number in Tally(statuses).items():
            if status in self._messages:
                self._messages[status].inc(number)


def take_figures(
    gauges: Mapping[str, Mapping[str, Gauge]], rows: Iterable[tuple[str, str, float]]
) -> None:
    """Set gauges by (metric, word, value); what the rows do not name is 0."""
    values = {(name, word): value for name, word, value in rows}
    for name, by_word in gauges.items():
        for word, gauge in by_word.items():
            gauge.set(values.get((name, word), 0.0))


def _counters(registry: CollectorRegistry, metric: Metric) -> dict[str, Counter]:
    counter = Counter(metric.name, metric.sentence, [metric.label], registry=registry)
    return {word: counter.labels(word) for word in metric.words}


def _histograms(registry: CollectorRegistry, metric: Metric) -> dict[str, Histogram]:
    histogram = Histogram(
        metric.name, metric.sentence, [metric.label], buckets=_BOUNDS, registry=registry
    )
    return {word: histogram.labels(word) for word in metric.words}


def _gauges(registry: CollectorRegistry, metric: Metric) -> dict[str, Gauge]:
    """Return the metric's gauges by word; without a label the word is empty."""
    if not metric.label:
        return {"": Gauge(metric.name, metric.sentence, registry=registry)}
    gauge = Gauge(metric.name, metric.sentence, [metric.label], registry=registry)
    return {word: gauge.labels(word) for word in metric.words}
