"""Commands about templates."""

from pathlib import Path

import click
import msgspec

from letterbook.cli.output import complain, json_option, print_facts, print_json, print_table
from letterbook.cli.session import open_session
from letterbook.control.mailtemplates import actions, queries
from letterbook.control.mailtemplates.export import export_template
from letterbook.control.mailtemplates.folder import read_folder
from letterbook.control.outbox.preview import template_mistakes


@click.group()
def templates() -> None:
    """Delivery templates."""


@templates.command("add")
@click.argument("folder", type=click.Path(path_type=Path))
def add(folder: Path) -> None:
    """Add a template from a folder, or replace the one of its name."""
    found = read_folder(folder)
    with open_session() as session:
        version = actions.add_template(session.actor, found)
        click.echo(f"Template {found.name}, version {version}.")
        for mistake in template_mistakes(found.name):
            complain(f"to mend before a delivery can start: {mistake}")


@templates.command("list")
@json_option
def list_templates(as_json: bool) -> None:
    """List the templates; native ones are read-only."""
    with open_session():
        found = queries.templates()
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "label", "kind", "Email BCC", "version"),
        [
            (
                each.name,
                each.label,
                "native" if each.native else "own",
                "on" if each.email_bcc else "off",
                each.version,
            )
            for each in found
        ],
    )


@templates.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a template."""
    with open_session():
        found = queries.template_named(name)
    options = msgspec.to_builtins(found.options)
    if as_json:
        print_json(
            {
                "name": found.name,
                "native": found.native,
                "version": found.version,
                **options,
                "markup": found.markup,
                "html_source": found.html_source,
                "text_source": found.text_source,
                "files": found.files,
            }
        )
        return
    print_facts(
        [
            ("name", found.name),
            ("kind", "native (read-only)" if found.native else "own"),
            ("version", found.version),
            *options.items(),
            ("body", f"{found.markup}, {len(found.html_source or ''):,} characters"),
            ("text", "written" if found.text_source else "derived from the HTML"),
            ("files", ", ".join(file["name"] for file in found.files) or "none"),
        ]
    )


@templates.command("duplicate")
@click.argument("name")
@click.argument("new")
def duplicate(name: str, new: str) -> None:
    """Make a template NEW like NAME, to change it."""
    with open_session() as session:
        actions.duplicate_template(session.actor, name, new)
        click.echo(f"Template {new}; to change it: letterbook templates export {new} FOLDER")


@templates.command("export")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
def export(name: str, folder: Path) -> None:
    """Write a template into a new folder, to edit and add it again."""
    with open_session():
        export_template(name, folder)
        click.echo(f"{folder}; when it is edited: letterbook templates add {folder}")
