"""What can be wrong with what is asked of a delivery."""

from letterbook.control.kernel.errors import ActionError


class DeliveryStateError(ActionError):
    """The delivery is in a state in which this cannot be done."""


class ProofAddressError(ActionError):
    """A proof must not go to this address."""
