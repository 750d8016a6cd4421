"""The import against a simple model of its rules, over files that Hypothesis makes up."""

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letterbook.control.recipients.importing import ImportReport
from tests.control.desk import import_file, members, people, rejects, rejects_path
from tests.house import House

GOOD = {
    "ana@example.org": "ana@example.org",
    " Ana@Example.ORG ": "Ana@example.org",
    "ANA@EXAMPLE.org": "ANA@example.org",
    "bo@müller.example": "bo@xn--mller-kva.example",
    "BO@xn--mller-kva.example": "BO@xn--mller-kva.example",
    '"c y"@example.org': '"c y"@example.org',
    "ñu@example.org": "ñu@example.org",
    "dee+x@sub.example.org": "dee+x@sub.example.org",
}
"""Addresses that can be kept, and the form in which they are."""

BAD = ("", "  ", "ana", "ana@", "@example.org", "a b@example.org", "ana@exam ple.org", "a@b@c.org")
PERSON = ("first_name", "last_name", "language")
ATTRIBUTES = ("city", "points")  # points are whole numbers

texts = st.sampled_from(
    ("", "Ana", " García ", "O'Hara", 'the "one"', "two\nlines", "山田", "a,b", "1;2", "x\r\ny")
)
addresses = st.one_of(st.sampled_from(sorted(GOOD)), st.sampled_from(BAD))
points = st.sampled_from(("", "7", " -3 ", "many", "1.5"))


@dataclass
class File:
    columns: list[str]
    rows: list[list[str]]
    """An empty one is an empty line."""
    delimiter: str
    line_end: str
    quoting: Any

    def text(self) -> str:
        return self.line_end.join(self.lines()) + self.line_end

    def lines(self) -> list[str]:
        return [self._row(row) for row in (self.columns, *self.rows)]

    def _row(self, row: list[str]) -> str:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=self.delimiter, quoting=self.quoting).writerow(row)
        return out.getvalue().removesuffix("\r\n")


@st.composite
def files(draw: st.DrawFn) -> File:
    others = draw(st.lists(st.sampled_from((*PERSON, *ATTRIBUTES)), unique=True, min_size=1))
    columns = draw(st.permutations(["email", *others]))
    delimiter = draw(st.sampled_from(",;\t|"))

    def value(column: str) -> str:
        if column == "email":
            return draw(addresses)
        text = draw(points if column == "points" else texts)
        # That foreign delimiters mislead nobody is another test's business.
        return text.replace(",", delimiter).replace(";", delimiter)

    rows = []
    for kind in draw(st.lists(st.sampled_from(("row",) * 8 + ("short", "long", "none")))):
        row = [value(column) for column in columns]
        if kind == "short":
            row.pop()
        elif kind == "long":
            row.append("more")
        rows.append([] if kind == "none" else row)
    return File(
        columns,
        rows,
        delimiter,
        draw(st.sampled_from(("\n", "\r\n"))),
        draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))),
    )


@dataclass
class Model:
    """What an import does, said as plainly as possible."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    rejected_lines: list[int] = field(default_factory=list)

    def load(self, file: File) -> None:
        self.counts, self.rejected_lines = Counter(), []
        taken: dict[str, dict[str, str]] = {}
        line = 1
        for row, text in zip((file.columns, *file.rows), file.lines(), strict=True):
            began, line = line, line + 1 + text.count("\n")
            if began == 1 or not row:
                continue
            self.counts["rows"] += 1
            values = dict(zip(file.columns, row, strict=False))
            if len(row) != len(file.columns) or not self._acceptable(values):
                self.rejected_lines.append(began)
                continue
            key = GOOD[values["email"]].casefold()
            self.counts["merged"] += key in taken
            taken[key] = values
        for key, values in taken.items():
            self.counts["updated" if key in self.people else "new"] += 1
            self._keep(key, values)
        self.counts["rejected"] = len(self.rejected_lines)

    @staticmethod
    def _acceptable(values: dict[str, str]) -> bool:
        number = values.get("points", "").strip()
        return values["email"] in GOOD and number in ("", "7", "-3")

    def _keep(self, key: str, values: dict[str, str]) -> None:
        person = self.people.setdefault(key, dict.fromkeys(PERSON, "") | {"attributes": {}})
        person["email"] = GOOD[values["email"]]
        self.members.add(key)
        for name, raw in values.items():
            text = raw.strip()
            if name in PERSON:
                person[name] = text
            elif name in ATTRIBUTES:
                person["attributes"].pop(name, None)
                if text:
                    person["attributes"][name] = int(text) if name == "points" else text


def counts(report: ImportReport) -> dict[str, int]:
    names = ("rows", "new", "updated", "merged", "rejected")
    return {name: getattr(report, name) for name in names}


@settings(max_examples=70, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(files(), min_size=1, max_size=3))
def test_any_files_one_after_the_other(house: House, files: list[File]):
    for table in ("membership", "recipient", "recipientlist", "attribute"):
        house.sql(f"DELETE FROM recipients_{table}")
    model = Model()
    for file in files:
        model.load(file)
        mapping = {"points": "int"} if "points" in file.columns else {}
        report = import_file(house, file.text(), mapping=mapping)

        assert counts(report) == {name: model.counts[name] for name in counts(report)}
        # Each row is new, an update, merged into a later one, or rejected.
        assert report.rows == report.new + report.updated + report.merged + report.rejected
        assert report.delimiter == file.delimiter
        assert {
            email.casefold(): person | {"email": email} for email, person in people(house).items()
        } == model.people
        assert {email.casefold() for email in members(house)} == model.members
        assert [each.line for each in report.rejects] == model.rejected_lines[:20]
        assert rejects_path(house).exists() == bool(model.rejected_lines)
        if model.rejected_lines:
            assert [int(row[0]) for row in rejects(house)[1:]] == model.rejected_lines
