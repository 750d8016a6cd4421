"""What the dialogue tests share: a client brought to Ready, letters, and what was written."""

from letterbook.smtp.client import Client
from letterbook.smtp.events import Event, Ready
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction

OFFERS = ("PIPELINING", "SIZE 100000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
OKS = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
GO = OKS + b"354 go\r\n"
QUEUED = Reply(250, ("2.0.0 queued",))
GROUP = b"MAIL FROM:<%s> SIZE=%d\r\nRCPT TO:<%s>\r\nDATA\r\n"


def ehlo_reply(*offers: str) -> bytes:
    lines = ["mx.example", *offers]
    return b"".join(
        f"250{'-' if line is not lines[-1] else ' '}{line}\r\n".encode() for line in lines
    )


def ready_client(*offers: str, pipelining: bool = True) -> Client:
    """A client after the greeting and EHLO; it has written everything it had to."""
    client = Client("client.example", pipelining=pipelining)
    assert client.receive(b"220 mx.example ESMTP\r\n") == []
    assert written(client) == b"EHLO client.example\r\n"
    (event,) = client.receive(ehlo_reply(*(offers or OFFERS)))
    assert isinstance(event, Ready)
    return client


def letter(
    number: int = 1, content: bytes | None = None, *, sender="s{}@a.example", **wishes
) -> Transaction:
    return Transaction(
        sender=sender.format(number),
        recipient=f"r{number}@b.example",
        content=b"Subject: letter %d\r\n\r\nHello\r\n" % number if content is None else content,
        subject=number,
        **wishes,
    )


def group(transaction: Transaction) -> bytes:
    """What a plain letter's MAIL, RCPT and DATA look like."""
    return GROUP % (
        transaction.sender.encode(),
        len(transaction.content),
        transaction.recipient.encode(),
    )


def written(client: Client) -> bytes:
    return b"".join(client.take_output())


def begun_client(*offers: str, pipelining: bool = True) -> tuple[Client, Transaction]:
    """A client whose first transaction was begun and written."""
    client = ready_client(*offers, pipelining=pipelining)
    first = letter(1)
    client.begin(first)
    client.take_output()
    return client, first


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]
