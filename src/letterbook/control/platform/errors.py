"""What can be wrong with the platform's set-up."""

from letterbook.control.kernel.errors import ActionError


class RouteError(ActionError):
    """The route cannot be used as given."""


class DkimKeyError(ActionError):
    """The DKIM key cannot be made or retired."""


class ArchiveAddressError(ActionError):
    """The archive address cannot be set or confirmed."""


class AlertChannelError(ActionError):
    """The alert channel cannot be used as given."""
