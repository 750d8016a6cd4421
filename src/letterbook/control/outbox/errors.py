"""What can be wrong with what is asked of a delivery's messages."""

from letterbook.control.kernel.errors import ActionError


class NotReadyError(ActionError):
    """The delivery cannot start."""
