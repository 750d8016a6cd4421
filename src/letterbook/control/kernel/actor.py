"""Who acts, and what they may do. Every action takes an actor first; the system is one too."""

import os
import pwd
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from letterbook.control.kernel.errors import NotAllowedError


class Right(StrEnum):
    """Named rights (reference/adobe-campaign.md, 9), and one that Campaign lacks: the archive's."""

    ADMINISTRATION = "administration"
    ARCHIVE_ADMINISTRATION = "archive administration"
    PREPARE_DELIVERIES = "prepare deliveries"
    START_DELIVERIES = "start deliveries"
    RECIPIENT_IMPORT = "recipient import"


ALL_RIGHTS: Final = frozenset(Right)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a program that acts."""

    name: str
    rights: frozenset[Right]

    def require(self, right: Right) -> None:
        """Raise NotAllowedError unless the actor holds ``right``."""
        if right not in self.rights:
            raise NotAllowedError(f"{self.name} may not do this: it needs the right {right!r}")


SYSTEM: Final = Actor("letterbook", ALL_RIGHTS)


def command_line_actor() -> Actor:
    """Return the operating system's user: whoever reaches the database may do everything."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return Actor(f"{name} (command line)", ALL_RIGHTS)
