"""A Postfix of the test's own: it accepts everything and puts it into one Maildir."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SERVICES = """
{port} inet n - n - 60 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
relay unix - - n - - smtp
virtual unix - n n - 20 virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtputf8_enable = yes
default_transport = virtual
virtual_mailbox_base = {folder}
virtual_mailbox_maps = static:mail/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_minimum_uid = 1
{more}
"""


class Postfix:
    """A running Postfix."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    @property
    def queue_is_empty(self) -> bool:
        """Whether everything that was accepted has been delivered."""
        queues = ("incoming", "active", "deferred", "maildrop", "hold")
        return not any(
            each.is_file() for name in queues for each in (self._folder / "queue" / name).rglob("*")
        )

    def delivered(self) -> Iterator[bytes]:
        """The messages as they lie in the Maildir, with CRLF."""
        for path in (self._folder / "mail" / "new").iterdir():
            yield path.read_bytes().replace(b"\n", b"\r\n")


@contextmanager
def running_postfix(folder: Path, more: str = "") -> Iterator[Postfix]:
    """Run a Postfix in ``folder``, which everybody can reach. ``more``: lines of main.cf."""
    assert shutil.which("postfix"), "Postfix is missing: apt-get install postfix"
    assert os.geteuid() == 0, "Postfix must be started by root"
    port = _free_port()
    uid = pwd.getpwnam("nobody").pw_uid
    (folder / "queue").mkdir(parents=True)
    (folder / "data").mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "mail").mkdir()
    os.chown(folder / "mail", uid, uid)
    config = folder / "config"
    config.mkdir()
    (config / "main.cf").write_text(_MAIN.format(folder=folder, uid=uid, more=more))
    (config / "master.cf").write_text(_SERVICES.format(port=port))
    try:
        _postfix(config, "start")
        yield Postfix(folder, port)
    finally:
        _postfix(config, "abort")


def _postfix(config: Path, command: str) -> None:
    done = subprocess.run(
        ["postfix", "-c", str(config), command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
