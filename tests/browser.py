"""A page of headless Chromium, for tests of what a person sees."""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Sandboxes need rights that containers lack; the others keep the browser from calling anybody.
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


@dataclass
class Visit:
    """A page, and what it did behind the scenes."""

    page: Any
    """Playwright's, synchronous."""
    errors: list[str] = field(default_factory=list)
    """What it wrote to the console as an error, exceptions that nobody caught, and requests that failed."""
    requests: list[str] = field(default_factory=list)
    """Every address that it asked for."""


@contextmanager
def visit(width=1280, height=900, dark=False, phone=False):
    """A page to go places with; the test is skipped where Playwright or Chromium is missing.

    Args:
        width: Of the window, in pixels.
        height: Of the window, in pixels.
        dark: Whether the person prefers dark pages.
        phone: Whether it has a touch screen of twice the density.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            device_scale_factor=2 if phone else 1,
            has_touch=phone,
            is_mobile=phone,
        )
        seen = Visit(page)
        page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("requestfailed", lambda request: seen.errors.append(f"{request.url}: {request.failure}"))
        page.on("request", lambda request: seen.requests.append(request.url))
        try:
            yield seen
        finally:
            browser.close()
