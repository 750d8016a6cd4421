"""A delivery's sources become the content that its messages are composed from."""

from dataclasses import dataclass

from letterbook.control.deliveries.models import Delivery
from letterbook.control.deliveries.queries import ProofMark
from letterbook.control.mailtemplates.errors import MjmlError
from letterbook.control.mailtemplates.mjml import to_html
from letterbook.control.mailtemplates.options import Options
from letterbook.control.mailtemplates.plaintext import derive_text
from letterbook.control.outbox.preflight import Finding, error
from letterbook.control.platform.queries import signing_keys
from letterbook.mail.address import domain_of, normalise_address
from letterbook.mail.compose import COMPOSER_VERSION
from letterbook.mail.content import Attachment, Content, FieldType
from letterbook.mail.errors import TemplateError
from letterbook.mail.headers import PROOF_HEADER
from letterbook.mail.inline import shows
from letterbook.mail.inspection import inspect
from letterbook.mail.template import Source
from letterbook.settings import Settings

MJML = "mjml"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the platform adds where a template says nothing."""

    error_address: str | None
    base_url: str
    language: str
    time_zone: str

    @classmethod
    def of(cls, settings: Settings) -> "Defaults":
        return cls(settings.error_address, settings.base_url, settings.language, settings.time_zone)


@dataclass(frozen=True, slots=True)
class Bodies:
    """The templates of the parts of a message, and what went wrong in making them."""

    html: str | None
    text: str | None
    findings: tuple[Finding, ...] = ()


def make_bodies(delivery: Delivery, options: Options) -> Bodies:
    """Turn MJML into HTML, and derive a text part where there is none."""
    html, text = delivery.html_source, delivery.text_source
    if html is not None and delivery.markup == MJML:
        try:
            html = to_html(html)
        except MjmlError as mistake:
            return Bodies(None, text, (error("template", str(mistake)),))
    if options.format == "html":
        return Bodies(html, None)
    findings: tuple[Finding, ...] = ()
    if text is None and html is not None:
        text = derive_text(html)
        findings = _check_derived(html, text)
    return Bodies(None if options.format == "text" else html, text, findings)


def make_content(
    delivery: Delivery,
    options: Options,
    bodies: Bodies,
    types: dict[str, FieldType],
    defaults: Defaults,
    proof: ProofMark | None = None,
) -> Content:
    """Put together what is frozen. A missing sender is a finding of preflight, not of this.

    A ``proof`` is marked in its content, so that its copy is marked and yet identical (promise P2).
    """
    sender = normalise_address(options.sender.address) if options.sender else ""
    bounces = options.error_address or defaults.error_address or sender
    return Content(
        composer=COMPOSER_VERSION,
        sender=sender,
        sender_name=options.sender.name if options.sender else "",
        error_address=normalise_address(bounces) if bounces else "",
        reply_to=normalise_address(options.reply_to) if options.reply_to else None,
        subject=f"Proof #{proof.number}: {options.subject}" if proof else options.subject,
        html=bodies.html,
        text=bodies.text,
        headers={**options.headers, **_mark(proof)},
        list_unsubscribe=options.list_unsubscribe,
        attachments=_attachments(delivery, bodies),
        field_types=types,
        base_url=defaults.base_url,
        language=defaults.language,
        time_zone=defaults.time_zone,
        dkim=signing_keys(domain_of(sender)) if sender else (),
    )


def _mark(proof: ProofMark | None) -> dict[str, str]:
    return {PROOF_HEADER: f"{proof.parent}.{proof.number}"} if proof else {}


def _attachments(delivery: Delivery, bodies: Bodies) -> tuple[Attachment, ...]:
    """A file that the HTML shows goes with the HTML only; the others go with every message."""
    source = delivery.html_source or ""
    attachments = (
        Attachment(**file, inline=shows(source, file["name"])) for file in delivery.files
    )
    return tuple(each for each in attachments if not each.inline or bodies.html is not None)


def _check_derived(html: str, text: str) -> tuple[Finding, ...]:
    """A derived text holds the HTML's tags, but may have lost some with what it left out."""
    if _mistakes(Source("body.html", html, markup=True)):
        return ()  # they are told of the HTML
    return tuple(
        error("template", f"no text part can be derived ({each}); write a body.txt")
        for each in _mistakes(Source("the derived text", text))
    )


def _mistakes(source: Source) -> tuple[TemplateError, ...]:
    """Return what is wrong with a template, whatever fields recipients have."""
    return inspect(source, inspect(source, ()).fields).errors
