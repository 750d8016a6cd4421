"""The frozen contents of the deliveries under way, compiled once each."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from letterbook.engine.database import Database
from letterbook.engine.errors import NoSigningKeyError
from letterbook.mail.compose import Composer
from letterbook.mail.content import Content, SigningKey
from letterbook.mail.dkim import Signer, make_signer, secret_name
from letterbook.mail.identity import Identity
from letterbook.sealing import Sealer

_KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a delivery's messages are made of, and how they are retried."""

    composer: Composer
    error_address: str
    test_only: bool
    """Test SMTP: everything but DATA."""
    email_bcc: bool
    retry_period: timedelta
    retry_max: int
    priority: int
    resends_doubts: bool

    def resends(self, attempt: int) -> bool:
        """Whether a message whose ``attempt`` is in doubt is sent again without asking."""
        return self.resends_doubts and attempt <= self.retry_max


class Contents:
    """Loads and compiles contents, and keeps those used last."""

    def __init__(self, database: Database, identity: Identity, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._identity = identity
        self._kept: OrderedDict[int, Frozen] = OrderedDict()

    def __getitem__(self, delivery: int) -> Frozen:
        """Return the contents of a delivery that is loaded."""
        return self._kept[delivery]

    async def load(self, delivery: int) -> Frozen:
        """Return the contents of ``delivery``.

        Raises TemplateError when it cannot be compiled, NoSigningKeyError and SealError when it
        cannot be signed.
        """
        if delivery not in self._kept:
            self._kept[delivery] = await self._compile(delivery)
        self._kept.move_to_end(delivery)
        return self._kept[delivery]

    def trim(self, in_use: set[int]) -> None:
        """Forget the contents used longest ago, but for those in use."""
        for delivery in list(self._kept):
            if len(self._kept) <= _KEPT:
                return
            if delivery not in in_use:
                del self._kept[delivery]

    async def _compile(self, delivery: int) -> Frozen:
        ((stored, *options),) = await self._database.fetch("content", {"delivery": delivery})
        content = msgspec.convert(stored, Content)
        digests = [each.sha256 for each in content.attachments]
        rows = await self._database.fetch("files", {"digests": digests}) if digests else []
        files = {sha256: bytes(data) for sha256, data in rows}
        signers = await self._signers(delivery, content.dkim)
        composer = Composer(delivery, content, files, self._identity, signers)
        return Frozen(composer, content.error_address, *options)

    async def _signers(self, delivery: int, keys: Sequence[SigningKey]) -> list[Signer]:
        if not keys:
            return []
        rows = await self._database.fetch("dkim_keys", {"keys": [each.id for each in keys]})
        sealed = {key: bytes(secret) for key, secret in rows}
        signers = []
        for key in keys:
            if key.id not in sealed:
                raise NoSigningKeyError(
                    f"delivery {delivery} is signed with the DKIM key {key.selector} of "
                    f"{key.domain}, which the database does not have: stop the delivery, or "
                    "restore the table platform_dkimkey"
                )
            name = secret_name(key.domain, key.selector)
            signers.append(make_signer(key, self._sealer.open(name, sealed[key.id])))
        return signers
