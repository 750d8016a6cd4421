"""Both routes under a fault plan: two sinks with one clock, and a harmful proxy before each."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Self

from letterbook.smtp.flight import MOST_UNANSWERED
from letterbook.testing.authority import Authority
from letterbook.testing.faultplan import BENIGN, SEVERING, FaultPlan
from letterbook.testing.proxy import Proxy
from letterbook.testing.sink import Sink

_CONNECTIONS_NOTED: Final = 1_000


class Storm:
    """Two sinks, ``recipients`` and ``archive``, behind ``proxies`` of the same names.

    ``authority`` and ``stranger``: both routes offer STARTTLS.
    """

    def __init__(
        self,
        plans: Mapping[str, FaultPlan],
        recipients: Sink,
        archive: Sink,
        *,
        authority: Authority | None = None,
        stranger: Authority | None = None,
    ) -> None:
        self.sinks = {"recipients": recipients, "archive": archive}
        self.plans = plans
        self.proxies: dict[str, Proxy] = {}
        self._tls = {"authority": authority, "stranger": stranger}

    async def start(self) -> Self:
        """Start the proxies; the sinks must be listening."""
        for name, sink in self.sinks.items():
            proxy = Proxy(sink.port, self.plans[name], **self._tls)
            self.proxies[name] = await proxy.start()
        return self

    async def stop(self) -> None:
        """Stop the proxies."""
        for proxy in self.proxies.values():
            await proxy.stop()

    @property
    def faults(self) -> Counter[str]:
        """What was done so far, by route and kind."""
        done: Counter[str] = Counter()
        for name, proxy in self.proxies.items():
            for fault, times in proxy.faults.items():
                done[f"{name}: {fault.name}"] += times
        return done

    @property
    def harmful(self) -> int:
        """Faults so far that a client cannot just bear."""
        return sum(
            times
            for proxy in self.proxies.values()
            for fault, times in proxy.faults.items()
            if fault.deed not in BENIGN
        )

    @property
    def doubtful(self) -> int:
        """How many messages the faults so far on the recipients' route may have put in doubt."""
        faults = self.proxies["recipients"].faults
        return MOST_UNANSWERED * sum(
            times for fault, times in faults.items() if fault.deed in SEVERING
        )

    def planned(self, addresses: Sequence[str]) -> Counter[str]:
        """What the messages to ``addresses`` are to meet with, by route and kind."""
        return Counter(
            {
                f"{name}: {kind}": times
                for name, plan in self.plans.items()
                for kind, times in plan.fates(addresses).items()
            }
        )

    def fingerprint(self, addresses: Sequence[str]) -> str:
        """Return a digest of all fates: of two runs with one seed it is the same."""
        digest = hashlib.sha256()
        for name, plan in sorted(self.plans.items()):
            for address in addresses:
                digest.update(f"{name} {address} {plan.of_message(address)}\n".encode())
            for number in range(1, _CONNECTIONS_NOTED + 1):
                digest.update(f"{name} {number} {plan.of_connection(number)}\n".encode())
        return digest.hexdigest()[:16]
