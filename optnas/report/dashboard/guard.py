"""What optuna-dashboard serves, kept to the person at this machine: no other page reaches it, no file runs in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Guard", "is_loopback"]

Environ = dict[str, Any]
#: The dashboard's own script, and no other: notes and plots of a study from elsewhere are looked at, not run.
_PAGE = "script-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
#: An artifact is what somebody put into a folder: opened by itself it may show something, as a page of nobody.
_ARTIFACT = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"


class Guard:
    """A WSGI application in front of another one.

    A page of the internet may ask a browser to write to a port of this machine, or give its own name this machine's
    address. Both are told by what the browser says of itself, and refused.

    Args:
        app: What is guarded.
        host: Where it listens. On an address that others reach, any name may be that of this machine.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], host: str) -> None:
        self._app, self._only_here = app, is_loopback(host)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        refusal = self._refusal(environ)
        if refusal:
            start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{refusal}\n".encode()]
        policy = _ARTIFACT if environ.get("PATH_INFO", "").startswith("/artifacts/") else _PAGE

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            # Artifacts would be readable for any page.
            kept = [(name, value) for name, value in headers if name.lower() != "access-control-allow-origin"]
            added = [("Content-Security-Policy", policy), ("X-Content-Type-Options", "nosniff")]
            return start_response(status, [*kept, *added], *more)

        return self._app(environ, start)

    def _refusal(self, environ: Environ) -> str:
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN", "")
        if self._only_here and not is_loopback(_name(f"//{host}")):
            return f"expected this machine's own name, such as localhost, got {host!r}"
        if origin and environ["REQUEST_METHOD"] not in ("GET", "HEAD") and urlsplit(origin).netloc != host:
            return f"expected a request of the dashboard itself, got one of {origin}"
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; of names only "localhost" is sure to."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
