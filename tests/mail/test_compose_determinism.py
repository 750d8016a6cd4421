import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from letterbook.mail.compose import COMPOSER_VERSION, Addressee
from letterbook.mail.identity import Identity

from .letters import DATE, compose, make_composer, make_content, make_file, with_files

ROOT = Path(__file__).parents[2]
BUSY = """{{ recipient.name|default("friend") }} {{ recipient.born.strftime("%A %d %B %Y") }}
{% for each in dict(b=1, a=2) %}{{ each }}{% endfor %}{{ {"z": 1, "a": 2}|tojson }}
{% for each in recipient.city|list|unique|sort %}{{ each }}{% endfor %}
{% for each in "hello"|groupby(0) %}{{ each.grouper }}{{ each.list }}{% endfor %}
{{ recipient.rate }} {{ recipient.rate|round(2) }} {{ 12345|filesizeformat }} {{ dict(a=1)|pprint }}
{% set c = cycler("odd", "even") %}{{ c.next() }}{{ c.next() }} {{ namespace(a=1, b=2) }}
"""
FIELDS = {"name": "Añña", "born": "1999-12-31", "city": "Åäö 漢字", "rate": 0.1}


def busy_letter():
    """A message that uses all that could differ from host to host."""
    logo = make_file("logo.png", b"\x89PNG" * 100, "image/png", inline=True)
    terms = make_file("términos.pdf", b"%PDF" * 100)
    return with_files(
        logo,
        terms,
        subject="{{ recipient.name }}, {{ recipient.born.strftime('%B') }}",
        text=BUSY,
        html=BUSY,
        headers={"X-B": "{{ recipient.city }}", "X-A": "{{ recipient.rate }}"},
        list_unsubscribe="https://example.com/{{ recipient.city }}",
        field_types={"born": "date", "rate": "float"},
        time_zone="Europe/Madrid",
    )


def test_another_composer_makes_the_same_bytes():
    composed = compose(*busy_letter(), fields=FIELDS)
    assert compose(*busy_letter(), fields=FIELDS) == composed


def test_what_was_composed_before_makes_no_difference():
    composer = make_composer(*busy_letter())
    ana, eve = (
        Addressee(ordinal, ordinal, f"{name}@example.org", FIELDS | {"name": name})
        for ordinal, name in ((1, "ana"), (2, "eve"))
    )
    before = composer.compose(ana, DATE)
    composer.compose(eve, DATE + timedelta(days=1))
    assert composer.compose(ana, DATE) == before


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LANG": "C", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LANG": "es_ES.UTF-8", "LC_ALL": ""},
        {"PYTHONHASHSEED": "3", "TZ": "", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "1"},
    ],
)
def test_another_process_elsewhere_and_later_makes_the_same_bytes(environment):
    program = (
        "import hashlib, sys\n"
        "from tests.mail.letters import compose\n"
        "from tests.mail.test_compose_determinism import FIELDS, busy_letter\n"
        "composed = compose(*busy_letter(), fields=FIELDS)\n"
        "sys.stdout.write(hashlib.sha256(composed).hexdigest())\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    here = hashlib.sha256(compose(*busy_letter(), fields=FIELDS)).hexdigest()
    assert elsewhere.stdout == here


VERSIONS = {1: "382b6fefa631a1c93896d285599e6dc98a15cb2bc565dac5bef07e0ba9ab2d0b"}


def test_other_bytes_are_another_version_of_the_composer():
    composed = compose(*busy_letter(), fields=FIELDS)
    assert hashlib.sha256(composed).hexdigest() == VERSIONS[COMPOSER_VERSION]


def test_another_message_has_other_bytes():
    content, files = busy_letter()
    ana = Addressee(1, 1, "ana@example.org", FIELDS)
    composed = {
        "same": make_composer(content, files).compose(ana, DATE),
        **{
            name: make_composer(content, files).compose(each, DATE)
            for name, each in {
                "address": replace(ana, address="eve@example.org"),
                "ordinal": replace(ana, ordinal=2),
                "fields": replace(ana, fields=FIELDS | {"name": "Eve"}),
            }.items()
        },
        "delivery": make_composer(content, files, delivery=8).compose(ana, DATE),
        "key": make_composer(content, files, identity=Identity(bytes(32))).compose(ana, DATE),
        "date": make_composer(content, files).compose(ana, DATE + timedelta(seconds=1)),
    }
    assert len(set(composed.values())) == len(composed)


def test_only_the_message_id_tells_two_ordinals_apart():
    first, second = (compose(make_content(), ordinal=each) for each in (1, 2))
    assert first.partition(b"\r\n")[2] == second.partition(b"\r\n")[2]
    assert first != second
