"""What can go wrong in the engine.

LetterbookError
└── EngineError
    ├── UnreachableError        the database does not answer
    ├── SchemaMismatchError     the database has another schema than this release
    ├── RestoredError           the database was restored, or is another one after a failover
    ├── NoRouteError            a route is needed that is not set
    ├── NoSigningKeyError       a delivery was frozen with a DKIM key that is not there
    ├── DrainError              a worker ended before the ledger had its outcomes
    ├── ProbeError              a route's server cannot be used; the message quotes it
    ├── ExporterError           the worker cannot listen where its metrics shall be
    └── ChannelError            an alert could not be told; the message quotes nobody
"""

from letterbook.errors import ConfigurationError, LetterbookError


class EngineError(LetterbookError):
    """Something went wrong in the engine."""


class UnreachableError(EngineError):
    """The database does not answer."""


class SchemaMismatchError(EngineError, ConfigurationError):
    """The database has another schema than this release needs."""


class RestoredError(EngineError, ConfigurationError):
    """The database was restored, or is another one after a failover, and nobody has said so."""


class NoRouteError(EngineError, ConfigurationError):
    """A route is needed that is not set."""


class NoSigningKeyError(EngineError, ConfigurationError):
    """A delivery was frozen with a DKIM key that the database does not have."""


class DrainError(EngineError):
    """A worker had to end before the ledger had taken all its outcomes."""


class ProbeError(EngineError):
    """A route's server cannot be used; the message quotes it."""


class ExporterError(EngineError, ConfigurationError):
    """The worker cannot listen where its metrics shall be."""


class ChannelError(EngineError):
    """An alert could not be told. The message holds no secret and quotes no server."""
