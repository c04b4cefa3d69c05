"""What a doctor finds in a storage, and what there is to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["SEVERITIES", "Finding", "Severity"]

Severity = Literal["lost", "next search", "worth knowing"]

SEVERITIES: Mapping[Severity, str] = {
    "lost": "lost, or not to be trusted",
    "next search": "will be mended by the next search",
    "worth knowing": "worth knowing",
}
"""In the order in which they matter, with what each is called to a person."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, or that one should know."""

    severity: Severity
    what: str
    """A sentence without its full stop; numbers of trials are in `trials`."""
    advice: str = ""
    """What helps, or who mends it."""
    study: str | None = None
    """None for what concerns the whole storage."""
    trials: tuple[int, ...] = ()
    remove: tuple[Path, ...] = ()
    """Files that nobody needs, which mending removes."""
    upgrade: bool = False
    """Whether mending brings the storage to the tables of the installed Optuna."""

    cut: bool = False
    """Whether mending takes what was half written out of a journal."""
    delete: bool = False
    """Whether mending deletes the study, of which an archive has all."""

    @property
    def mend(self) -> str:
        """What mending does about it; empty for nothing."""
        if self.upgrade:
            return "copies the file and upgrades its tables"
        if self.cut:
            return "copies the file and takes that half out"
        if self.delete:
            return "deletes that half"
        if self.remove:
            return f"removes {', '.join(path.name for path in self.remove[:5])}" + (
                f" and {len(self.remove) - 5} more" if len(self.remove) > 5 else ""
            )
        return ""
