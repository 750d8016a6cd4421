"""What can be wrong with recipients and their files."""

from letterbook.control.kernel.errors import ActionError


class ImportFileError(ActionError):
    """The file cannot be imported at all; single rows that cannot are rejected instead."""


class MappingError(ActionError):
    """A column cannot be mapped as asked."""
