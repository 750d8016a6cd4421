"""Templates in the database: added, replaced, duplicated, exported; native ones read-only."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from letterbook.control.kernel.actor import Right
from letterbook.control.kernel.errors import ActionError, NotAllowedError, NotFoundError
from letterbook.control.mailtemplates.actions import (
    NATIVE,
    add_template,
    duplicate_template,
    ensure_native_templates,
)
from letterbook.control.mailtemplates.errors import NativeTemplateError, TemplateFolderError
from letterbook.control.mailtemplates.export import export_template
from letterbook.control.mailtemplates.folder import TemplateFile, TemplateFolder, read_folder
from letterbook.control.mailtemplates.options import Options
from letterbook.control.mailtemplates.queries import blobs, template_named, templates
from letterbook.control.outbox.preview import template_mistakes
from tests.control.desk import audit, do, import_file, without
from tests.control.rendering import mistakes
from tests.house import ACTOR, House

OPTIONS = {
    "label": 'Spring "offer" \\ é',
    "subject": "{{ recipient.first_name }}, an offer",
    "email_bcc": True,
    "from": {"name": "Example, Inc.", "address": "news@example.com"},
    "reply_to": "care@example.com",
    "error_address": "bounces@example.com",
    "list_unsubscribe": "https://example.com/u/{{ recipient.id }}",
    "retries": {"period": "30m", "max": 3},
    "validity": {"delivery": "2d"},
    "headers": {"X-Brand": "É", "x-b.c": "{{ recipient.city }}"},
}


def folder(name: str = "offer", html: str | None = "<p>é</p>\n", **changes: Any) -> TemplateFolder:
    parts = {
        "markup": "html",
        "html_source": html,
        "text_source": "Text\n",
        "files": (TemplateFile("logo.png", "image/png", b"\x89PNG\r\n\0"),),
    }
    options = changes.pop("options", OPTIONS)
    return TemplateFolder(name=name, options=msgspec.convert(options, Options), **(parts | changes))


def test_a_template_is_kept_whole(house: House):
    assert do(add_template, ACTOR, folder()) == 1
    found = do(template_named, "offer")
    assert found.options == msgspec.convert(OPTIONS, Options)
    assert (found.native, found.version) == (False, 1)
    assert (found.markup, found.html_source, found.text_source) == ("html", "<p>é</p>\n", "Text\n")
    ((file,),) = (found.files,)
    assert (file["name"], file["content_type"]) == ("logo.png", "image/png")
    assert do(blobs, [file["sha256"]]) == {file["sha256"]: b"\x89PNG\r\n\0"}


def test_a_template_of_the_same_name_replaces_and_is_the_next_version(house: House):
    do(add_template, ACTOR, folder())
    changed = folder(html="<p>new</p>", text_source=None, files=(), options={"label": "New"})
    assert do(add_template, ACTOR, changed) == 2
    found = do(template_named, "offer")
    assert (found.version, found.html_source, found.text_source) == (2, "<p>new</p>", None)
    assert found.files == ()
    assert found.options == Options(label="New")
    assert [line[1:] for line in audit(house) if line[2] == "template offer"] == [
        ("add template", "template offer", None, {"version": 1}),
        ("replace template", "template offer", {"version": 1}, {"version": 2}),
    ]
    assert do(add_template, ACTOR, changed) == 3


def test_a_file_is_kept_once_however_many_have_it(house: House):
    do(add_template, ACTOR, folder())
    do(add_template, ACTOR, folder("other"))
    do(add_template, ACTOR, folder())
    assert house.sql("SELECT count(*) FROM mailtemplates_blob") == [(1,)]


def test_the_native_template_is_shipped_and_sound(house: House):
    native, *others = do(templates)
    assert (native.name, native.label, native.native, native.version) == (
        NATIVE, "Email delivery", True, 1,
    )  # fmt: skip
    assert others == []
    assert do(template_mistakes, NATIVE) == []


def test_the_native_template_is_read_only(house: House):
    before = do(template_named, NATIVE)
    with pytest.raises(NativeTemplateError, match="read-only; duplicate it to change it"):
        do(add_template, ACTOR, folder(NATIVE))
    assert do(template_named, NATIVE) == before
    assert [line[1] for line in audit(house)] == ["ship template"]


def test_shipping_the_same_again_changes_nothing_and_another_release_replaces(house: House):
    do(ensure_native_templates)
    assert do(template_named, NATIVE).version == 1
    house.sql("UPDATE mailtemplates_template SET html_source = 'older' WHERE native")
    do(ensure_native_templates)
    found = do(template_named, NATIVE)
    assert (found.version, found.native) == (2, True)
    assert found.html_source != "older"
    for column in ("markup = 'html'", "files = '[{}]'"):
        house.sql(f"UPDATE mailtemplates_template SET {column} WHERE native")
        do(ensure_native_templates)
        found = do(template_named, NATIVE)
        assert (found.markup, found.files) == ("mjml", ())


def test_a_duplicate_is_ones_own(house: House):
    do(duplicate_template, ACTOR, NATIVE, "mine")
    native, mine = do(template_named, NATIVE), do(template_named, "mine")
    assert (mine.native, mine.version) == (False, 1)
    assert mine.options.label == "Email delivery (copy)"
    assert (mine.markup, mine.html_source, mine.text_source, mine.files) == (
        native.markup, native.html_source, native.text_source, native.files,
    )  # fmt: skip
    assert do(add_template, ACTOR, folder("mine")) == 2
    assert do(template_named, NATIVE) == native
    assert audit(house, "duplicate template") == [
        (ACTOR.name, "duplicate template", "template mine", None, {"from": NATIVE})
    ]


def test_a_duplicate_needs_a_source_and_a_free_good_name(house: House):
    do(add_template, ACTOR, folder())
    for name, new, error, complaint in (
        ("nothing", "new", NotFoundError, "there is no template 'nothing'"),
        (NATIVE, "offer", ActionError, "there is a template 'offer' already"),
        (NATIVE, NATIVE, ActionError, "already"),
        (NATIVE, "Not A Slug", TemplateFolderError, "lower-case letters"),
    ):
        with pytest.raises(error, match=complaint):
            do(duplicate_template, ACTOR, name, new)
    assert [each.name for each in do(templates)] == [NATIVE, "offer"]


def test_a_template_that_is_not_there_names_those_that_are(house: House):
    do(add_template, ACTOR, folder())
    with pytest.raises(NotFoundError, match=f"'offr'; there are: {NATIVE}, offer"):
        do(template_named, "offr")


@pytest.mark.parametrize(
    "given",
    [
        folder(),
        folder(options={"label": "Least"}, text_source=None, files=()),
        folder(
            options={"label": "Text", "format": "text", "headers": {"X-A": "1"}},
            html=None,
        ),
        folder(markup="mjml", html="<mjml>\n  <mj-body>'\"\"\" \\u00e9</mj-body>\n</mjml>"),
        folder(
            files=tuple(
                TemplateFile(name, kind, data)
                for name, kind, data in (
                    ("a.png", "image/png", b""),
                    ("données (2).pdf", "application/pdf", b"\0\xff"),
                )
            )
        ),
    ],
)  # fmt: skip
def test_what_is_exported_and_added_is_the_same(
    house: House, tmp_path: Path, given: TemplateFolder
):
    do(add_template, ACTOR, given)
    path = tmp_path / "deep" / "exported"
    do(export_template, "offer", path)
    again = read_folder(path)
    assert again == given
    before = do(template_named, "offer")
    assert do(add_template, ACTOR, again) == 2
    after = do(template_named, "offer")
    assert msgspec.structs.asdict(after.options) == msgspec.structs.asdict(before.options)
    assert (after.markup, after.html_source, after.text_source, after.files) == (
        before.markup, before.html_source, before.text_source, before.files,
    )  # fmt: skip


def test_an_export_overwrites_nothing(house: House, tmp_path: Path):
    with pytest.raises(ActionError, match="exists already; name a new folder"):
        do(export_template, NATIVE, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ActionError, match=r"cannot make .*: Not a directory"):
        do(export_template, NATIVE, tmp_path / "file" / "new")
    with pytest.raises(NotFoundError):
        do(export_template, "nothing", tmp_path / "new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_delivery_keeps_its_copy_when_the_template_changes(house: House):
    import_file(house, "email\nana@example.org\n")
    do(add_template, ACTOR, folder())
    delivery = house.delivery()
    columns = (
        "template_name, template_version, options, markup, html_source, text_source, files, label"
    )
    before = house.sql(f"SELECT {columns} FROM deliveries_delivery")
    assert before[0][:2] == ("offer", 1)
    assert before[0][4:6] == ("<p>é</p>\n", "Text\n")
    do(add_template, ACTOR, folder(html="<p>new</p>", files=(), options={"label": "New"}))
    assert house.sql(f"SELECT {columns} FROM deliveries_delivery") == before
    assert house.show(delivery).label == OPTIONS["label"]
    assert do(blobs, [before[0][6][0]["sha256"]])


def test_a_first_look_at_a_template_finds_what_an_analysis_would(house: House):
    options = OPTIONS | {"subject": "{{ recipient.nonsense }}", "headers": {"X-A": "{% if %}"}}
    given = folder(options=options, html="<p>\n{{ customer }}</p>", text_source="{{ 1 | nope }}")
    do(add_template, ACTOR, given)
    found = do(template_mistakes, "offer")
    assert [each.split(": ")[0] for each in found] == [
        "template.toml, subject:1:4",
        "template.toml, headers.X-A:1:7",
        "body.html:2:4",
        "body.txt:1:8",
    ]
    assert mistakes("{{ customer }}") == ["body:1:4: customer is unknown"]


def test_every_change_needs_the_right(house: House):
    actor = without(Right.PREPARE_DELIVERIES)
    with pytest.raises(NotAllowedError, match="'prepare deliveries'"):
        do(add_template, actor, folder())
    with pytest.raises(NotAllowedError, match="'prepare deliveries'"):
        do(duplicate_template, actor, NATIVE, "mine")
    assert [each.name for each in do(templates)] == [NATIVE]
    assert [line[1] for line in audit(house)] == ["ship template"]
