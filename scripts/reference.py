"""Writes the reference pages from the code, or with --check says which are out of step.

Settings and metrics come from their declarations, commands from the command line itself.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from letterbook.cli import cli
from letterbook.engine.metrics import LEDGER, WORKER, Metric
from letterbook.settings import describe_settings

FOLDER = Path(__file__).parent.parent / "docs"


def settings_page() -> str:
    """Return the page of settings."""
    lines = [
        "# Settings",
        "",
        "A setting is read from the environment, else from `letterbook.toml`, else it has its",
        "default. The file is at `LETTERBOOK_CONFIG`, else in the data folder; names in it",
        "are in lower case and without `LETTERBOOK_`. An unknown or unusable setting stops the",
        "start. Lengths of time are written `30s`, `5m`, `1h`, `5d`.",
        "",
        "| Setting | Default | What it says |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {shown} | {text} |" for name, shown, text in describe_settings()]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the page of commands."""
    lines = [
        "# Commands",
        "",
        "Exit status: 0 done, 1 refused or failed (a message on standard error says why), 2 wrong",
        "usage.",
        "",
    ]
    for path, command in _commands(cli, ()):
        lines += [f"## `letterbook {' '.join(path)}`", "", command.help or "", ""]
        usage = _usage(path, command)
        lines += ["```", usage, "```", ""]
        options = [each for each in command.params if isinstance(each, click.Option)]
        lines += [f"- `{_option(each)}`: {_help(each)}" for each in options]
        lines += [""] if options else []
    return "\n".join(lines).rstrip() + "\n"


def metrics_page() -> str:
    """Return the page of metrics."""
    lines = [
        "# Metrics",
        "",
        "A worker shows its metrics to Prometheus at `http://ADDRESS:PORT/metrics` when",
        "`LETTERBOOK_METRICS` says where. Give each worker of a host a port of its own, and let",
        "only Prometheus reach it: there is no password. Nothing personal is in them.",
        "",
        "## Of the worker",
        "",
        "Add these up over the workers.",
        "",
        *_metrics_table(WORKER),
        "",
        "## Of the ledger",
        "",
        "Every worker shows the same figures here, read at that moment: take `max`, not `sum`.",
        "",
        *_metrics_table(LEDGER),
        "",
        "Beside them stand the process's own: `process_cpu_seconds_total`,",
        "`process_resident_memory_bytes` and the like.",
    ]
    return "\n".join(lines) + "\n"


def _metrics_table(metrics: Sequence[Metric]) -> Iterator[str]:
    yield "| Metric | Kind | Label | What it says |"
    yield "|---|---|---|---|"
    for each in metrics:
        words = f"`{each.label}`: {', '.join(each.words)}" if each.label else ""
        yield f"| `{each.name}` | {each.kind} | {words} | {each.sentence} |"


def _commands(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _usage(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=f"letterbook {' '.join(path)}")
    return " ".join((context.command_path, *command.collect_usage_pieces(context)))


def _option(option: click.Option) -> str:
    names = "/".join((*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    metavar = option.make_metavar(click.Context(click.Command("")))
    return f"{names} {metavar}"


def _help(option: click.Option) -> str:
    text = option.help or {"lists": "The list to go to; may be said several times."}.get(
        option.name or "", f"The {option.name}."
    )
    if option.show_default:
        text += f" Default: {option.default}."
    return text


PAGES = {
    "reference/settings.md": settings_page,
    "reference/commands.md": commands_page,
    "operate/metrics.md": metrics_page,
}


def main() -> int:
    """Write the pages, or check them."""
    stale = []
    for name, make in PAGES.items():
        path = FOLDER / name
        text = make()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"docs is out of step: {', '.join(stale)}; run scripts/reference.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
