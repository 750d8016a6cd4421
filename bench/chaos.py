"""Chaos: thousands of messages through faults and kills, and the account of every promise.

Run as ``python -m bench.chaos [--messages N] [--seed S]``; docs/operate/chaos.md says what it does.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.platform import ARCHIVE_ADDRESS, Platform, open_platform
from bench.storming import storming
from bench.victims import Assassin, Books, Commands, Crew
from letterbook.control.deliveries.actions import create_delivery
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.mailtemplates.actions import add_template
from letterbook.control.mailtemplates.folder import TemplateFolder
from letterbook.control.mailtemplates.options import Options, Retries, Sender
from letterbook.control.outbox.actions import start
from letterbook.control.platform.actions import set_archive_address, set_route
from letterbook.control.platform.queries import identity
from letterbook.control.platform.routes import RouteUrl
from letterbook.control.recipients.importing import import_recipients
from letterbook.sealing import load_sealer
from letterbook.testing.account import Account, balance
from letterbook.testing.faultplan import full_size_plans
from letterbook.testing.storm import Storm

RESULT: Final = Path(__file__).parent.parent / "docs" / "results" / "chaos.json"
FULL_SIZE: Final = 20_000
LEAST_FAULTS: Final = 1_000
DOMAIN: Final = "example.com"
WORKERS: Final = 2
SETTINGS: Final = {
    "in_flight": 64,
    "connections": 5,
    "lease": "2s",
    "connect_timeout": "2s",
    "reply_timeout": "2s",
    "final_reply_timeout": "3s",
    "hello": "sender.example",
}
KILLS: Final = {"worker": 12, "postgres": 3, "backend": 2, "supervisor": 1, "command": 5}
_LONGEST: Final = 900.0
_PARAGRAPH: Final = "<p>Nothing of this is personal, but it takes its time on the way.</p>\n"
# name: its share of all messages, and how many times its paragraph stands in it
_DELIVERIES: Final = {"first": (0.70, 10), "large": (0.05, 1_000), "second": (0.25, 10)}


class Chaos:
    """One run: a platform in a storm, its deliveries and its victims."""

    def __init__(
        self, platform: Platform, storm: Storm, ca: str, given: argparse.Namespace
    ) -> None:
        self._platform = platform
        self._storm = storm
        self._seed = given.seed
        self._ca = ca
        self._shares = {
            name: round(given.messages * share) for name, (share, _) in _DELIVERIES.items()
        }
        self.addresses = [
            f"{name}{number}@example.org"
            for name, count in self._shares.items()
            for number in range(count)
        ]
        self.commands = Commands(platform, given.logs, **SETTINGS)
        self.books = Books(platform.database.conninfo())
        self.acts: list[str] = []
        """What an operator did meanwhile."""

    def run(self, progress: Progress) -> dict[str, Any]:
        """Send everything and return the result."""
        deliveries = self._set_up()
        began = time.monotonic()
        crew = Crew(self.commands, WORKERS)
        assassin = Assassin(self._seed, KILLS, crew, self.commands, self.books)
        assassin.delivery = deliveries["second"]
        try:
            for name in ("first", "large"):
                start(SYSTEM, deliveries[name])
            in_time = self._attend(assassin, crew, progress)
        finally:
            crew.dismiss()
        account = self._account()
        return self._result(account, assassin, crew, time.monotonic() - began, in_time)

    # Before.

    def _set_up(self) -> dict[str, int]:
        sealer = load_sealer(self._platform.settings, may_create=False)
        self._identity = identity(sealer)
        for name, proxy in self._storm.proxies.items():
            url = RouteUrl.parse(f"smtp+starttls://localhost:{proxy.port}")
            set_route(SYSTEM, sealer, name, url, ca=self._ca, insecure=False)
        set_archive_address(SYSTEM, ARCHIVE_ADDRESS, is_recipient=lambda _: False, trust=True)
        for name, (_, paragraphs) in _DELIVERIES.items():
            self._import(name)
            add_template(SYSTEM, _template(name, paragraphs))
        found = {name: self._platform.analyzed(name, name)[0] for name in ("first", "large")}
        return found | {"second": create_delivery(SYSTEM, template="second", lists=["second"])}

    def _import(self, name: str) -> None:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(("email", "first_name"))
        for number in range(self._shares[name]):
            writer.writerow((f"{name}{number}@example.org", f"Ana {number}"))
        path = self._platform.settings.data / "people.csv"
        path.write_text(text.getvalue())
        import_recipients(SYSTEM, path, name, mapping={}, rejects_file=path.with_suffix(".rejects"))
        path.unlink()

    # Meanwhile.

    def _attend(self, assassin: Assassin, crew: Crew, progress: Progress) -> bool:
        """See to it until everything is settled; return whether that was in time."""
        task = progress.add_task("chaos", total=len(self.addresses))
        deadline = time.monotonic() + _LONGEST
        hours = iter(("1 hour", "6 days"))
        second_started = False
        while time.monotonic() < deadline:
            states = self.books.states()
            settled = self.books.settled()
            progress.update(task, completed=settled)
            idle = all(states[each] in ("finished", "editing", "ready") for each in states)
            assassin.look(1.0 if idle else settled / len(self.addresses))
            crew.look()
            if not second_started and not assassin.commands_left:
                self._start_second(assassin.delivery)
                second_started = True
            elif second_started and all(state == "finished" for state in states.values()):
                return True
            self._resume_paused(states)
            if second_started and self.books.only_refused_copies_wait():
                self._let_pass(next(hours))
            time.sleep(0.1)
        return False

    def _start_second(self, delivery: int) -> None:
        self.commands.run("deliveries", "analyze", str(delivery))
        self.commands.run("deliveries", "start", str(delivery))
        self.acts.append("analysed and started a delivery whose analysis had been killed")

    def _resume_paused(self, states: dict[int, str]) -> None:
        for delivery, state in states.items():
            if state == "paused":
                self.commands.run("deliveries", "resume", str(delivery))
                self.acts.append(f"resumed delivery {delivery}, which had been paused")

    def _let_pass(self, interval: str) -> None:
        self.books.let_pass(interval)
        self.acts.append(f"let {interval} pass for copies that the archive had refused")

    # Afterwards.

    def _account(self) -> Account:
        sinks, proxies = self._storm.sinks, self._storm.proxies
        return balance(
            self.books.entries(self._identity, DOMAIN),
            sinks["recipients"].received,
            sinks["archive"].received,
            began=proxies["recipients"].began,
            answered=proxies["archive"].answered,
            leaked=sinks["recipients"].leaks,
        )

    def _result(
        self, account: Account, assassin: Assassin, crew: Crew, seconds: float, in_time: bool
    ) -> dict[str, Any]:
        most_doubts = assassin.kills["worker"] * int(SETTINGS["in_flight"]) + self._storm.doubtful
        least = LEAST_FAULTS * len(self.addresses) // FULL_SIZE
        broken = account.broken | {
            what: number
            for what, number in {
                "not settled in time": not in_time,
                "more in doubt than kills and cuts explain": account.in_doubt > most_doubts,
                "too few faults": self._storm.harmful < least,
                "workers that ended by themselves": crew.deaths,
            }.items()
            if number
        }
        return {
            "seed": self._seed,
            "fates": self._storm.fingerprint(self.addresses),
            "seconds": round(seconds, 1),
            "account": dict(account.lines()),
            "most_in_doubt": most_doubts,
            "broken": broken,
            "faults": {
                "harmful": self._storm.harmful,
                "all": self._storm.faults.total(),
                "by_kind": dict(sorted(self._storm.faults.items())),
                "planned": dict(sorted(self._storm.planned(self.addresses).items())),
            },
            "connections": {n: proxy.connections for n, proxy in self._storm.proxies.items()},
            "kills": dict(assassin.kills),
            "workers_that_could_not_start": crew.not_started,
            "operator": self.acts,
            "in_the_logs": dict(self.commands.signs_of_trouble()),
        }


def _template(name: str, paragraphs: int) -> TemplateFolder:
    html = (
        "<p>Hello {{ recipient.first_name }}, your number is {{ recipient.email }}.</p>\n"
        + _PARAGRAPH * paragraphs
        + "<p>unsubscribe</p>\n"
    )
    options = Options(
        label=name,
        subject="{{ recipient.first_name }}, your offer",
        email_bcc=True,
        sender=Sender(address=f"news@{DOMAIN}"),
        format="html",
        retries=Retries(period="2s", max=20),
    )
    return TemplateFolder(name, options, "html", html, None, ())


@contextmanager
def _chaos(given: argparse.Namespace) -> Iterator[Chaos]:
    plans = full_size_plans(given.seed)
    with (
        open_platform() as platform,
        storming(plans, platform.settings.data, ARCHIVE_ADDRESS) as (storm, ca),
    ):
        yield Chaos(platform, storm, ca, given)


def report(console: Console, result: dict[str, Any]) -> None:
    """Print the account for people."""
    table = Table("faults by kind", "planned for messages", "done")
    for kind, done in result["faults"]["by_kind"].items():
        table.add_row(kind, str(result["faults"]["planned"].get(kind, "")), str(done))
    console.print(table)
    faults = result["faults"]
    console.print(f"faults: {faults['all']:,}, of which {faults['harmful']:,} did harm")
    console.print(f"killed (-9): {', '.join(f'{n} x {who}' for who, n in result['kills'].items())}")
    console.print("'command' stands for the control plane, which has no web process yet.")
    for act in result["operator"]:
        console.print(f"operator: {act}")
    for what in ("workers_that_could_not_start", "in_the_logs", "broken"):
        console.print(f"{what.replace('_', ' ')}: {result[what] or 'nothing'}")
    show_account(console, f"chaos, seed {result['seed']}", result)


def show_account(console: Console, title: str, result: dict[str, Any]) -> None:
    """Print what became of the messages."""
    table = Table(title, "messages")
    for what, number in result["account"].items():
        table.add_row(what, number)
    console.print(table)
    console.print(f"in {result['seconds']:,.0f} s; at most {result['most_in_doubt']:,} in doubt")


def kill_test(seed: int) -> dict[str, Any]:
    """Run the kill test, in a process of its own because its platform is another one."""
    command = [sys.executable, "-m", "bench.kills", "--seed", str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        sys.exit("the kill test did not come to an end")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Run, print the account, keep the result; status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--messages", type=int, default=FULL_SIZE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", type=Path, help="a folder to keep what each process says in")
    parser.add_argument("--no-kill-test", action="store_true")
    given = parser.parse_args()
    console = Console(record=True, width=100)
    with Progress(console=Console(stderr=True)) as progress, _chaos(given) as chaos:
        result = chaos.run(progress)
    report(console, result)
    kills = None if given.no_kill_test else kill_test(given.seed)
    if kills:
        show_account(console, f"{kills['kills']} kills, window {kills['in_flight']}", kills)
        console.print(f"broken: {kills['broken'] or 'nothing'}")
    if given.messages >= FULL_SIZE and kills:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result | {"kill_test": kills}, indent=2) + "\n")
        RESULT.with_suffix(".txt").write_text(console.export_text())
    sys.exit(bool(result["broken"] or (kills and kills["broken"])))


if __name__ == "__main__":
    main()
