"""Passwords that a text may hold without anybody having meant to keep them."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["without_credentials"]

_HIDDEN = "***"
#: The password of scheme://user:password@host. It may hold an @ itself, so the last one before the host counts.
_USER = re.compile(r"([a-zA-Z][\w+.-]*://[^/\s:@]*:)[^\s/]+(?=@)")
#: A setting of a name that says so, as in ?password=... of an address.
_NAMED = re.compile(r"(?i)\b((?:password|passwd|pwd|secret|token|api_?key)=)[^\s&;,'\"]+")


def without_credentials(value: Any) -> Any:
    """A value of JSON in which the passwords of addresses are replaced by ***, in whatever text they stand."""
    if isinstance(value, str):
        return _NAMED.sub(rf"\g<1>{_HIDDEN}", _USER.sub(rf"\g<1>{_HIDDEN}", value))
    if isinstance(value, dict):
        return {without_credentials(key): without_credentials(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_credentials(one) for one in value]
    return value
