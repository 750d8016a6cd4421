"""What docs/operate hands out names only settings and commands that exist."""

import configparser
import re
from pathlib import Path

import pytest

from letterbook.cli import _COMMANDS
from letterbook.settings import CONFIG_VARIABLE, describe_settings

OPERATE = Path(__file__).parents[1] / "docs" / "operate"
FILES = sorted(path for path in OPERATE.rglob("*") if path.is_file())
SETTINGS = {variable for variable, _, _ in describe_settings()} | {CONFIG_VARIABLE}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_and_commands_exist(path: Path):
    text = path.read_text("utf-8")
    assert set(re.findall(r"LETTERBOOK_[A-Z_]+", text)) - {"LETTERBOOK_"} <= SETTINGS
    commands = re.findall(r"(?:`|/bin/|^ +)letterbook ([a-z]+)", text, re.MULTILINE)
    assert set(commands) <= set(_COMMANDS)


@pytest.mark.parametrize("path", sorted(OPERATE.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text("utf-8")):
        assert "://" in target or (OPERATE / target).exists(), target


def test_the_unit_lets_a_worker_settle_and_its_database_end_last():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(OPERATE / "systemd" / "letterbook-worker@.service", "utf-8")
    service = unit["Service"]
    assert service["KillMode"] == "process"
    assert service["ExecStart"].endswith("letterbook worker")
    assert service["User"] != "root"
