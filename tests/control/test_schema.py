"""The database's schema: in step with the code, and with the order of the stages."""

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model

import letterbook
from letterbook.control.project.migrate import SchemaError, migrate, require_schema, schema_version
from letterbook.mail.status import CopyStatus, DeliveryKind, DeliveryState, Failure, MessageStatus
from letterbook.schema import SCHEMA_VERSION
from tests.control.desk import do
from tests.house import House

CONTROL = Path(letterbook.__file__).parent / "control"
SQL_FILES = sorted(path.relative_to(CONTROL) for path in CONTROL.glob("*/sql/*.sql"))
TEMPORARY = {"recipients_staging"}


@cache
def stages() -> dict[str, int]:
    """The order of the apps, from the contract that imports keep to: the later, the higher."""
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    contracts = tomllib.loads(pyproject.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(
        each["layers"] for each in contracts if each.get("containers") == ["letterbook.control"]
    )
    return {
        app.strip(): height
        for height, layer in enumerate(reversed(layers))
        for app in layer.split("|")
    }


def app_of(table: str) -> str:
    """The app that a table belongs to, by its name."""
    app = table.partition("_")[0]
    assert app in stages(), table
    return app


# In step with the code.


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("message_status", MessageStatus),
        ("copy_status", CopyStatus),
        ("message_failure", Failure),
        ("delivery_kind", DeliveryKind),
    ],
)
def test_the_databases_words_are_those_of_the_code_in_the_same_order(
    house: House, name: str, words: type[StrEnum]
):
    rows = house.sql(
        "SELECT enumlabel FROM pg_enum WHERE enumtypid = %s::regtype ORDER BY enumsortorder", name
    )
    assert [label for (label,) in rows] == [word.value for word in words]


def test_a_delivery_has_only_states_that_the_code_knows(house: House):
    ((rule,),) = house.sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'delivery_state_known'"
    )
    assert re.findall(r"'(\w+)'", rule) == [state.value for state in DeliveryState]


def test_the_tallies_have_a_column_for_each_word(house: House):
    columns = {
        name
        for (name,) in house.sql(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'outbox_part'::regclass "
            "AND attnum > 0 AND NOT attisdropped"
        )
    }
    assert {*MessageStatus, *(f"copies_{word}" for word in CopyStatus)} <= columns


def test_every_migration_is_in_step_with_its_models(house: House):
    do(call_command, "makemigrations", "--check", "--dry-run", verbosity=0)


def test_a_migrated_database_needs_nothing(house: House):
    assert do(schema_version) == SCHEMA_VERSION
    do(require_schema)
    assert do(migrate) is False


@pytest.mark.parametrize(
    ("version", "complaint"),
    [
        (SCHEMA_VERSION - 1, r"this release needs \d+: run `letterbook migrate`"),
        (SCHEMA_VERSION + 1, "made by a newer release.*upgrade Letterbook on this host"),
    ],
)
def test_another_schema_is_refused(house: House, version: int, complaint: str):
    house.sql("UPDATE kernel_schemaversion SET version = %s", version)
    with pytest.raises(SchemaError, match=f"the database has schema {version}.*{complaint}"):
        do(require_schema)


def test_a_newer_schema_is_not_migrated(house: House):
    house.sql("UPDATE kernel_schemaversion SET version = %s", SCHEMA_VERSION + 1)
    with pytest.raises(SchemaError, match="made by a newer release"):
        do(migrate)
    assert house.sql("SELECT version FROM kernel_schemaversion") == [(SCHEMA_VERSION + 1,)]
    # ... and the lock is free for the next one.
    assert house.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_no_schema_is_refused(own_house: House):
    own_house.sql("DELETE FROM kernel_schemaversion")
    with pytest.raises(SchemaError, match="no schema yet: run `letterbook migrate`"):
        do(require_schema)
    own_house.sql("DROP TABLE kernel_schemaversion CASCADE")
    with pytest.raises(SchemaError, match="no schema yet: run `letterbook migrate`"):
        do(require_schema)


# In the order of the stages.


def models() -> Iterator[type[Model]]:
    for model in apps.get_models():
        if model.__module__.startswith("letterbook."):
            yield model


def later_stages(found: type[Model]) -> list[str]:
    """The relations of a model that point to a later stage than its own."""
    own = found._meta.app_label
    return [
        f"{found.__name__}.{field.name} points to {field.related_model._meta.label}"
        for field in found._meta.get_fields()
        if field.is_relation and not field.auto_created
        and stages()[field.related_model._meta.app_label] > stages()[own]
    ]  # fmt: skip


def test_no_model_points_to_a_later_stage():
    assert {model._meta.app_label for model in models()} <= set(stages())
    assert [fault for model in models() for fault in later_stages(model)] == []


def test_a_relation_to_a_later_stage_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    target = apps.get_model("deliveries", "Target")
    assert later_stages(target) == []
    monkeypatch.setitem(stages(), "recipients", stages()["deliveries"] + 1)
    assert later_stages(target) == ["Target.list points to recipients.RecipientList"]


def test_a_migration_depends_on_no_later_stage():
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app in stages():
            later = [
                each for each, _ in migration.dependencies
                if each in stages() and stages()[each] > stages()[app]
            ]  # fmt: skip
            assert later == [], (app, name)


@pytest.mark.parametrize("path", SQL_FILES, ids=str)
def test_a_statement_names_the_tables_that_its_header_declares(house: House, path: Path):
    text = (CONTROL / path).read_text("utf-8")
    header = re.match(r"-- tables: ((?:[\w, ]|\n-- {2,})+)\n", text)
    assert header, "the first line must be: -- tables: one, another"
    declared = set(re.findall(r"\w+", header[1]))
    relations = house.sql(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') "
        "AND relnamespace = 'public'::regnamespace"
    )
    known = {name for (name,) in relations}
    assert declared <= known | TEMPORARY
    statement = re.sub(r"--[^\n]*|'[^']*'", "", text)
    named = {word for word in re.findall(r"\w+", statement) if word in known | TEMPORARY}
    assert named == declared
    for table in declared:
        assert stages()[app_of(table)] <= stages()[path.parts[0]]


def test_there_are_statements_to_look_at():
    assert len(SQL_FILES) >= 8


def test_nothing_happens_behind_an_actions_back():
    """No signals: whoever reads an action sees all that it does."""
    for path in CONTROL.rglob("*.py"):
        assert "dispatch" not in path.read_text("utf-8"), path
