"""What can be wrong with a template."""

from letterbook.control.kernel.errors import ActionError


class TemplateFolderError(ActionError):
    """The folder is not a template; the message names file and line."""


class NativeTemplateError(ActionError):
    """Native templates are read-only; duplicate one to change it."""


class TextDerivationError(ActionError):
    """No text part can be derived from the HTML."""


class MjmlError(ActionError):
    """The MJML cannot be turned into HTML."""
