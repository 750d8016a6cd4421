"""The root of every error that Letterbook raises on purpose.

LetterbookError
├── ConfigurationError      settings, routes, keys: no retry loop may swallow it
│   └── SettingsError
└── (each package's errors, in its own errors.py)
"""


class LetterbookError(Exception):
    """Something is wrong; the message says what, where, and how to mend it."""


class ConfigurationError(LetterbookError):
    """The installation is set up in a way that cannot work."""
