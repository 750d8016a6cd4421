"""Letterbook: email campaigns whose every message is archived before it is sent."""

__version__ = "0.1.0"
