"""A first look at a template's texts, before there is a delivery."""

from letterbook.control.mailtemplates.queries import template_named
from letterbook.control.outbox.preflight import check_templates, known_fields, written_texts
from letterbook.control.recipients.queries import attribute_types


def template_mistakes(name: str) -> list[str]:
    """Return what an analysis would complain of, with file, line and column.

    Raises NotFoundError.
    """
    template = template_named(name)
    texts = written_texts(
        template.options, template.markup, template.html_source, template.text_source
    )
    findings = check_templates(texts, known_fields(attribute_types()))
    return [finding.message for finding in findings]
