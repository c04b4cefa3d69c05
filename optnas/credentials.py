"""Passwords stay where they were given: an address or a message that is shown or kept goes through here."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import unquote

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

__all__ = ["HIDDEN", "check_address", "has_password", "hide_in_logs", "scrubbed", "scrubbed_json", "shown_address"]

HIDDEN = "***"
"""Stands for a password."""

_SECRET = r"(?:password|passwd|passphrase|pwd|secret|token|api_?key)"
_KEYS = re.compile(rf"[a-z_]*{_SECRET}", re.IGNORECASE)
# Neither begins with what may be long, a scheme or the first half of a key: a text of letters alone would be searched
# from each of them; nor is a password longer than a page.
#: ://user:PASSWORD@; greedy, since a password may hold an @ that should have been encoded. A quote ends it, unless it
#: stands within a word.
_IN_ADDRESS = re.compile(r"(://[^\s:/@'\"]{0,1024}):((?:[^\s'\"]|'(?=[\w%!#$&*+?^~.-])){0,1024})@")
#: password=..., 'password': '...', ?password=... and the same percent-encoded, as in odbc_connect; \' as in libpq's.
_AS_KEY = re.compile(
    rf"({_SECRET}(?:['\"]\s*:\s*|\s*=\s*|%3D|%253D))"
    r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?:\\.|(?!%3B|%26)[^\s&;,'\")\]}])+)",
    re.IGNORECASE,
)


def scrubbed(text: str) -> str:
    """A text without the passwords in it: those of addresses, and what is given as `password=` or the like.

    Passwords are known by where they stand, not by what they are: to blot out each "optnas" of a message would tell
    the one whose password that is.
    """
    # Keys first: an @ behind `?password=` is not the one before the host.
    return _IN_ADDRESS.sub(rf"\1:{HIDDEN}@", _AS_KEY.sub(rf"\1{HIDDEN}", text))


def scrubbed_json(value: Any) -> Any:
    """A value of JSON in which every text is `scrubbed`, and what a key calls a password is hidden."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, dict):
        return {
            scrubbed_json(key): HIDDEN if isinstance(one, str) and _KEYS.fullmatch(key) else scrubbed_json(one)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrubbed_json(one) for one in value]
    return value


def shown_address(address: str) -> str:
    """An address as it may be shown and kept: without a password, wherever in it that stands."""
    url = _parsed(address)
    if url is None:
        scheme, separator, rest = address.partition("://")
        # What cannot be understood may have a password anywhere.
        return f"{scheme}://{HIDDEN}" if separator else rest or scheme.rpartition("@")[2]
    if not has_password(address):
        return address
    hidden = url.set(query={key: HIDDEN if _is_secret(key, value) else value for key, value in url.query.items()})
    return scrubbed(hidden.render_as_string(hide_password=True).replace("%2A%2A%2A", HIDDEN))


def has_password(address: str) -> bool:
    """Whether a password stands in an address."""
    url = _parsed(address)
    if url is None:
        return scrubbed(address) != address
    return bool(url.password) or any(_is_secret(key, value) for key, value in url.query.items())


def check_address(address: str) -> str:
    """What is wrong with an address in which a password would end up in the name of a host; empty if nothing is."""
    url = _parsed(address)
    if url is not None and "@" not in (url.host or ""):
        return ""
    return (
        "expected user:password@host:port/name with the signs of the password percent-encoded "
        "(@ as %40, / as %2F, : as %3A)"
    )


def hide_in_logs() -> None:
    """Have what optuna, its storages and its database drivers log scrubbed, whoever shows it."""
    loggers = [logging.getLogger(name) for name in (None, "optuna", "sqlalchemy", "alembic", "psycopg")]
    handlers = [handler for logger in loggers for handler in logger.handlers]
    for handler in (*handlers, *filter(None, [logging.lastResort])):
        handler.addFilter(_scrub_record)


def _scrub_record(record: logging.LogRecord) -> bool:
    message = scrubbed(record.getMessage())
    record.msg, record.args = message, ()
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    if record.exc_text:
        record.exc_text = scrubbed(record.exc_text)
    return True


def _parsed(address: str) -> URL | None:
    try:
        return make_url(address)
    except (ArgumentError, ValueError):  # such as a port that is no number
        return None


def _is_secret(key: str, value: str | tuple[str, ...]) -> bool:
    texts = (value,) if isinstance(value, str) else value
    return bool(_KEYS.fullmatch(key)) or any(scrubbed(unquote(text)) != unquote(text) for text in texts)
