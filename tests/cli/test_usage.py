"""What people script against: commands, options, exit status."""

from collections.abc import Iterator

import click
import pytest

from letterbook.cli import cli
from tests.cli.terminal import Terminal

COMMANDS = """
demo [--recipients] [--once] [--json]
migrate
check
routes set NAME URL [--ca] [--insecure] [--connections] [--per-connection] [--rate]
routes limit NAME [--connections] [--per-connection] [--rate]
routes show [--json]
alerts set CHANNEL TARGET
alerts off CHANNEL
alerts test
alerts show [--json]
archive set ADDRESS [--policy] [--trust] [--yes]
archive confirm CODE
archive show [--json]
recipients import FILE --list [--map] [--json]
recipients optout ADDRESS
templates add FOLDER
templates list
templates show NAME [--json]
templates duplicate NAME NEW
deliveries create --template --list [--label] [--email-bcc] [--no-email-bcc] [--priority] [--waves]
deliveries analyze DELIVERY [--json]
deliveries start DELIVERY [--at] [--wait]
deliveries pause DELIVERY
deliveries resume DELIVERY
deliveries stop DELIVERY
deliveries retry DELIVERY MESSAGES [--for]
deliveries resolve DELIVERY MESSAGES [--all] [--resend] [--arrived] [--lost] [--for] [--yes]
deliveries list
deliveries show DELIVERY [--json]
deliveries log DELIVERY [--format]
restored [--since] [--nothing-lost]
worker [--until-idle]
"""
"""The commands that were promised: arguments, options that are needed, options that are not."""

CHOICES = {
    "routes set": {"name": ["recipients", "archive"]},
    "routes limit": {"name": ["recipients", "archive"]},
    "alerts set": {"channel": ["mail", "webhook", "command"]},
    "alerts off": {"channel": ["mail", "webhook", "command"]},
    "archive set": {"policy": ["hold", "owe"]},
    "deliveries log": {"form": ["csv", "jsonl"]},
}
FLAGS = {
    "--once", "--json", "--insecure", "--trust", "--yes", "--wait", "--until-idle",
    "--all", "--resend", "--arrived", "--lost", "--nothing-lost",
}  # fmt: skip


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, groups too, under its name."""
    context = click.Context(cli)
    yield "", cli
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for sub, subcommand in command.commands.items():
                yield f"{name} {sub}", subcommand


def split(line: str) -> tuple[str, list[str]]:
    words = line.split()
    length = next((n for n, word in enumerate(words) if word[0] in "-[" or word.isupper()), None)
    cut = len(words) if length is None else length
    return " ".join(words[:cut]), words[cut:]


@pytest.mark.parametrize("line", COMMANDS.strip().splitlines())
def test_every_command_with_its_arguments_and_options(line: str):
    name, parameters = split(line)
    command = dict(commands())[name]
    found = {
        word: parameter
        for parameter in command.params
        for word in (*parameter.opts, *parameter.secondary_opts)
    }
    arguments = [word for word in parameters if word.isupper()]
    assert [
        parameter.name.upper()
        for parameter in command.params
        if isinstance(parameter, click.Argument)
    ] == arguments
    for word in set(parameters) - set(arguments):
        option = found[word.strip("[]")]
        assert isinstance(option, click.Option)
        assert option.required is not word.startswith("[")
        is_flag = word.strip("[]") in FLAGS or "email-bcc" in word
        assert option.is_flag is is_flag
    for parameter, choices in CHOICES.get(name, {}).items():
        (kind,) = (each.type for each in command.params if each.name == parameter)
        assert isinstance(kind, click.Choice)
        assert list(kind.choices) == choices


def test_every_command_says_what_it_is_for():
    for name, command in commands():
        assert command.help, name
        assert command.help.strip().split("\n")[0].endswith("."), name


def test_help_of_every_command(terminal: Terminal):
    for name, command in commands():
        for option in ("--help", "-h"):
            done = terminal(*name.split(), option)
            assert done.stdout.startswith(f"Usage: letterbook {name}".rstrip()), name
            assert done.stderr == ""
        assert command.help.split("\n")[0].split(":")[0] in done.stdout


def test_without_a_command_the_commands_are_shown(terminal: Terminal):
    done = terminal(status=2)
    for name in ("deliveries", "recipients", "worker"):
        assert name in done.stdout + done.stderr


def test_the_version(terminal: Terminal):
    assert terminal("--version").stdout.startswith("letterbook, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["deliveries", "nothing"],
        ["--nothing"],
        ["migrate", "now"],
        ["routes", "set", "recipients"],
        ["routes", "set", "copies", "smtp://localhost"],
        ["archive", "set"],
        ["archive", "set", "a@b.example", "--policy", "maybe"],
        ["recipients", "import", "/nowhere/people.csv", "--list", "all"],
        ["recipients", "import", "/dev/null"],
        ["recipients", "import", "/dev/null", "--list", "all", "--map", "points"],
        ["recipients", "import", "/dev/null", "--list", "all", "--map", ":int"],
        ["recipients", "import", "/dev/null", "--list", "all", "--map", "points:"],
        ["deliveries", "create", "--template", "offer"],
        ["deliveries", "create", "--list", "all"],
        ["deliveries", "show"],
        ["deliveries", "show", "one"],
        ["deliveries", "log", "1", "--format", "xml"],
        ["deliveries", "start", "1", "--at", "tomorrow"],
        ["deliveries", "start", "1", "--at", "2026-13-01"],
        ["demo", "--recipients", "none"],
        ["demo", "--recipients", "0"],
    ],
)  # fmt: skip
def test_wrong_usage_is_status_2(terminal: Terminal, arguments: list[str]):
    done = terminal(*arguments, status=2)
    assert done.stdout == ""
    assert "Usage: letterbook" in done.stderr
    assert "Error: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["archive", "confirm", "12345678"], "no archive address waits for a code"),
        (["archive", "set", "nobody"], "'nobody' is not an address"),
        (["archive", "set", "a@b.example"], "there is no archive route"),
        (["recipients", "import", "/dev/null", "--list", "all"], "/dev/null is empty"),
        (["recipients", "optout", "nobody"], "must have an @-sign"),
        (["recipients", "quarantine", "nobody"], "must have an @-sign"),
        (["routes", "set", "archive", "http://localhost"], "must begin with one of smtp://"),
        (["routes", "set", "archive", "smtp://relay.example"], "leaves this host without TLS"),
        (["routes", "set", "archive", "smtps://h.example", "--ca", "/nowhere"], "cannot read"),
        (["templates", "add", "/nowhere"], "is not a folder with a template.toml"),
        (["templates", "show", "nothing"], "there is no template 'nothing'"),
        (["templates", "duplicate", "nothing", "new"], "there is no template 'nothing'"),
        (["deliveries", "create", "--template", "x", "--list", "y"], "there is no template 'x'"),
        (["deliveries", "analyze", "7"], "there is no delivery 7"),
        (["deliveries", "start", "7"], "there is no delivery 7"),
        (["deliveries", "pause", "7"], "there is no delivery 7"),
        (["deliveries", "resume", "7"], "there is no delivery 7"),
        (["deliveries", "stop", "7"], "there is no delivery 7"),
        (["deliveries", "release", "7", "1"], "there is no delivery 7"),
        (["deliveries", "edit", "7", "--label", "x"], "there is no delivery 7"),
        (["deliveries", "show", "7"], "there is no delivery 7"),
        (["deliveries", "log", "99999999999999999999"], "there is no delivery 9999"),
    ],
)  # fmt: skip
def test_what_is_refused_is_status_1(terminal: Terminal, arguments: list[str], complaint: str):
    done = terminal(*arguments, status=1)
    assert done.stdout == ""
    assert done.stderr.startswith("letterbook: ")
    assert complaint in done.stderr
