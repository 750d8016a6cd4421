"""What a Django developer would write: EmailMultiAlternatives with bcc=, an open connection.

The people are at hand in memory, nothing is recorded, and the copy costs no content of its own:
it is one more RCPT of the same transaction, neither before the message nor known to have arrived.
"""

import django
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection  # noqa: TID251 (to compare)
from django.template import Context, Engine

from bench.child import Order, order, say
from bench.letters import ARCHIVE_ADDRESS, SENDER, SUBJECT, TEXT, html, person

_BATCH = 100


class Newsletter:
    """Three templates and a connection."""

    def __init__(self, what: Order) -> None:
        engine = Engine()
        self._subject = engine.from_string(SUBJECT)
        self._text = engine.from_string(TEXT)
        self._html = engine.from_string(html(what.size))
        self._connection = get_connection(
            "django.core.mail.backends.smtp.EmailBackend", host="127.0.0.1", port=what.recipients
        )
        self._connection.open()

    def send(self, count: int) -> None:
        """Send to ``count`` people, in batches."""
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            self._connection.send_messages([self._message(person(number)) for number in numbers])

    def _message(self, who: dict[str, object]) -> EmailMultiAlternatives:
        context = Context({"recipient": who})
        message = EmailMultiAlternatives(
            self._subject.render(context),
            self._text.render(context),
            SENDER,
            [str(who["email"])],
            bcc=[ARCHIVE_ADDRESS],
        )
        message.attach_alternative(self._html.render(context), "text/html")
        return message


def main() -> None:
    """Warm up, send, and report."""
    what = order()
    settings.configure(USE_TZ=True)
    django.setup()
    newsletter = Newsletter(what)
    newsletter.send(what.warm_up)
    say("ready")
    newsletter.send(what.messages)
    say("done")


if __name__ == "__main__":
    main()
