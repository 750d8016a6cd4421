"""Errors that any action may raise."""

from letterbook.errors import LetterbookError


class ActionError(LetterbookError):
    """An action was refused; nothing has changed."""


class NotAllowedError(ActionError):
    """The actor lacks the right that the action needs."""


class NotFoundError(ActionError):
    """There is no such object."""
