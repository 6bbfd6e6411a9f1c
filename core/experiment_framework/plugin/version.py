"""The version of the plugin API: its own, not that of a release."""

from __future__ import annotations

from typing import Final

__all__ = ["API_VERSION"]

API_VERSION: Final = "1.0"
"""``major.minor``: the minor grows when something is added, the major when something is taken away
or changes its meaning.

A plugin may say which one it was written for: ``api_version = "1.0"`` in its class or module.
"""
