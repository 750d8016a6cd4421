"""Nothing happens without a right: every action, by somebody who holds all rights but its own."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from letterbook.control.kernel.actor import SYSTEM, Actor, Right, command_line_actor
from letterbook.control.kernel.audit import AuditOutsideTransactionError, record
from letterbook.control.kernel.errors import NotAllowedError
from letterbook.control.mailtemplates.folder import TemplateFolder
from letterbook.control.mailtemplates.options import Options
from letterbook.control.outbox.freeze import Defaults
from letterbook.control.platform.routes import RouteUrl
from letterbook.mail.status import ArchivePolicy
from tests.control.desk import do, everything, import_file, without
from tests.house import ACTOR, House

CONTROL = "letterbook.control"
PREPARE, START = Right.PREPARE_DELIVERIES, Right.START_DELIVERIES
ARCHIVE, IMPORT = Right.ARCHIVE_ADMINISTRATION, Right.RECIPIENT_IMPORT

# In an order in which they can be done one after the other.
NEEDED: Mapping[str, Right] = {
    "outbox.restore.acknowledge_failover": Right.ADMINISTRATION,
    "outbox.actions.retry": START,
    "outbox.actions.resend": START,
    "outbox.actions.settle_doubts": START,
    "platform.actions.set_route": Right.ADMINISTRATION,
    "platform.actions.limit_route": Right.ADMINISTRATION,
    "platform.actions.set_alert_channel": Right.ADMINISTRATION,
    "platform.actions.remove_alert_channel": Right.ADMINISTRATION,
    "platform.actions.confirm_archive_address": ARCHIVE,
    "platform.actions.set_archive_address": ARCHIVE,
    "platform.actions.set_archive_policy": ARCHIVE,
    "platform.dkim.add_dkim_key": Right.ADMINISTRATION,
    "platform.dkim.retire_dkim_key": Right.ADMINISTRATION,
    "recipients.importing.import_recipients": IMPORT,
    "recipients.actions.opt_out": IMPORT,
    "recipients.actions.quarantine": IMPORT,
    "mailtemplates.actions.add_template": PREPARE,
    "mailtemplates.actions.duplicate_template": PREPARE,
    "deliveries.actions.create_delivery": PREPARE,
    "deliveries.actions.edit_delivery": PREPARE,
    "deliveries.proofs.create_proof": PREPARE,
    "outbox.analysis.analyze": PREPARE,
    "outbox.actions.release": ARCHIVE,
    "outbox.actions.start": START,
    "outbox.actions.pause": START,
    "outbox.actions.resume": START,
    "outbox.actions.stop": START,
    "outbox.restore.acknowledge_restore": Right.ADMINISTRATION,
}


def actions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function of the control plane that somebody does."""
    for path in Path(import_module(CONTROL).__path__[0]).rglob("*.py"):
        parts = path.relative_to(import_module(CONTROL).__path__[0]).with_suffix("").parts
        if "migrations" in parts or parts[-1] == "__init__" or parts[0] == "project":
            continue
        module = import_module(".".join((CONTROL, *parts)))
        for name, function in inspect.getmembers(module, inspect.isfunction):
            named = list(inspect.signature(function).parameters)[:1]
            own = function.__module__ == module.__name__
            if own and named == ["actor"] and not name.startswith("_") and name != "record":
                yield ".".join((*parts, name)), function


def test_every_action_is_listed_here():
    assert {name for name, _ in actions()} == set(NEEDED)


@pytest.fixture
def arguments(house: House) -> dict[str, Callable[[Actor], tuple[tuple[Any, ...], dict[str, Any]]]]:
    """What each action needs so that only the right is missing."""
    import_file(house, "email\nana@example.org\n")
    house.set_route("recipients", 25)
    house.set_archive()
    house.dkim_key("example.com", "old")
    code = do(
        import_module(f"{CONTROL}.platform.actions").set_archive_address,
        ACTOR,
        "next@vault.example",
        is_recipient=lambda _: False,
        trust=False,
    ).code
    template = house.template(email_bcc=False, html="<p>unsubscribe</p>")
    editing, ready, running, paused = (house.delivery(template) for _ in range(4))
    ended, doubtful, unclear = (house.delivery(template) for _ in range(3))
    for delivery in (ready, running, paused, ended, doubtful, unclear):
        assert house.analyze(delivery).errors == []
    for delivery, status in ((ended, "failed"), (doubtful, "in_doubt"), (unclear, "in_doubt")):
        house.sql("UPDATE deliveries_delivery SET state = 'finished' WHERE id = %s", delivery)
        house.sql("UPDATE outbox_message SET status = %s WHERE delivery_id = %s", status, delivery)
    for delivery in (running, paused):
        do(import_module(f"{CONTROL}.outbox.actions").start, ACTOR, delivery)
    do(import_module(f"{CONTROL}.outbox.actions").pause, ACTOR, paused)
    house.sql("UPDATE outbox_message SET copy = 'refused' WHERE delivery_id = %s", running)
    house.sql("UPDATE outbox_lineage SET lineage = 'another'")
    path = house.folder / "more.csv"
    path.write_text("email\nbo@example.org\n", encoding="utf-8")
    no_one = {"is_recipient": lambda _: False}
    defaults = {"identity": house.identity, "defaults": Defaults.of(house.settings)}
    folder = TemplateFolder("new", Options(label="New"), "html", "<p>x</p>", None, ())
    return {
        name: ((*values,), named)
        for name, values, named in (
            ("set_route", (house.sealer, "archive", RouteUrl.parse("smtps://relay.example")),
             {"ca": None, "insecure": False}),
            ("limit_route", ("recipients", {"rate": 5}), {}),
            ("set_alert_channel", (house.sealer, "mail", "ops@example.net"), {}),
            ("remove_alert_channel", ("mail",), {}),
            ("set_archive_address", ("new@vault.example",), no_one | {"trust": True}),
            ("confirm_archive_address", (code,), {}),
            ("set_archive_policy", (ArchivePolicy.OWE,), {}),
            ("add_dkim_key", (house.sealer, "example.com"),
             {"selector": "new", "algorithm": "ed25519"}),
            ("retire_dkim_key", ("example.com", "old"), {}),
            ("import_recipients", (path, "more"),
             {"mapping": {}, "rejects_file": house.folder / "rejects.csv"}),
            ("opt_out", ("ana@example.org",), {}),
            ("quarantine", ("ana@example.org", "x"), {}),
            ("add_template", (folder,), {}),
            ("duplicate_template", (template, "second"), {}),
            ("create_delivery", (), {"template": template, "lists": ["all"]}),
            ("edit_delivery", (editing,), {"label": "other"}),
            ("create_proof", (editing,),
             {"to": ["eve@example.org"], "written_as": "ana@example.org"}),
            ("analyze", (editing,), defaults),
            ("start", (ready,), {}),
            ("pause", (running,), {}),
            ("resume", (paused,), {}),
            ("stop", (running,), {}),
            ("release", (running, 1), {}),
            ("acknowledge_failover", (), {}),
            ("acknowledge_restore", (timezone.now,), {}),
            ("retry", (ended,), {}),
            ("resend", (doubtful, None), {}),
            ("settle_doubts", (unclear, [1]), {"arrived": False}),
        )
    }  # fmt: skip


def test_no_action_without_its_right(house: House, arguments: dict[str, Any]):
    before = everything(house)
    for name, action in actions():
        values, named = arguments[name.rpartition(".")[2]]
        with pytest.raises(NotAllowedError, match=f"newcomer may not do this.*{NEEDED[name]}"):
            do(action, without(NEEDED[name]), *values, **named)
        assert everything(house) == before, name


def test_every_action_with_its_right_alone_and_audited_with_the_actors_name(
    house: House, arguments: dict[str, Any]
):
    order = list(NEEDED)
    for name, action in sorted(actions(), key=lambda each: order.index(each[0])):
        values, named = arguments[name.rpartition(".")[2]]
        ((lines,),) = house.sql("SELECT count(*) FROM kernel_auditline")
        values = [each() if callable(each) else each for each in values]
        do(action, Actor("specialist", frozenset({NEEDED[name]})), *values, **named)
        added = house.sql("SELECT actor FROM kernel_auditline ORDER BY id OFFSET %s", lines)
        assert added == [("specialist",)], name


def test_an_audit_line_apart_from_its_change_is_a_mistake_of_ours(house: House):
    with pytest.raises(AuditOutsideTransactionError):
        do(record, ACTOR, "do", "something")


def test_the_system_and_the_command_line_are_actors_too():
    assert SYSTEM.rights == frozenset(Right)
    actor = command_line_actor()
    assert actor.name.endswith(" (command line)")
    for right in Right:
        actor.require(right)
        with pytest.raises(NotAllowedError):
            Actor("nobody", frozenset()).require(right)
