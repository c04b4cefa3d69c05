"""What is wrong with the lines of a journal, and what of it can be mended without a loss."""

from __future__ import annotations

import time
from pathlib import Path

from optuna.version import __version__ as optuna_version

from optnas.errors import UsageError
from optnas.keeping.beside import is_held, locks_of
from optnas.keeping.findings import Finding
from optnas.printable import shell_word
from optnas.study.addresses import check_place
from optnas.study.journal import is_journal, read_lines

__all__ = ["check_journal", "check_journal_kind"]

#: Optuna takes a lock of writers for dead after so long.
_GRACE_SECONDS = 30.0
_SHOWN = 5


def check_journal_kind(path: Path) -> None:
    """Refuse a file that is no journal.

    Raises:
        UsageError: If there is none, or it is of another kind.
    """
    check_place(path, False, "a journal of Optuna", write=False)
    try:
        known = is_journal(path)
    except OSError as error:
        raise UsageError(f"storage {path}: cannot be read: {error.strerror or error}") from None
    if not known:
        raise UsageError(f"storage {path}: expected a journal of Optuna, got another kind of file")


def check_journal(path: Path, storage: str) -> tuple[list[Finding], bool]:
    """What its lines tell, and whether Optuna can read them.

    Args:
        path: The journal.
        storage: Its address.
    """
    lines, found = read_lines(path), []
    for number, kind in lines.unknown.items():
        what = f"line {number} of the journal is of a kind ({kind}) that the installed Optuna {optuna_version} lacks"
        found.append(Finding("lost", what, "install the Optuna that wrote it; nothing in the file is wrong"))
        break
    if lines.broken:
        first = lines.broken[0]
        what = f"{_named(lines.broken)} of the journal {'hold' if len(lines.broken) > 1 else 'holds'} no record"
        before = f"head -n {first - 1} {shell_word(path)} > NEW leaves what was before"
        found.append(Finding("lost", f"{what}, and nothing can be read", before))
    if lines.merged:
        begin = "begin" if len(lines.merged) > 1 else "begins"
        what = f"{_named([*lines.merged])} of the journal {begin} with half a record, and nothing can be read"
        found.append(Finding("lost", what, "a writer was killed, and the next one wrote on in its line", cut=True))
    # A writer that lives is in the middle of a record now and then.
    if lines.half and not any(map(is_held, locks_of(storage))):
        what = f"the journal ends with half a record ({lines.half} bytes)"
        advice = "a writer was killed or the disk was full; the next one cuts it off"
        found.append(Finding("next search", what, advice, cut=not lines.merged))
    lock = path.with_name(f"{path.name}.lock")
    if lock.exists() and time.time() - lock.lstat().st_mtime > _GRACE_SECONDS:
        what = f"{lock.name} was left by a writer that was killed"
        found.append(
            Finding("worth knowing", what, f"the next one waits {_GRACE_SECONDS:.0f} s for it", remove=(lock,))
        )
    return found, lines.readable


def _named(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"{'lines' if len(numbers) > 1 else 'line'} {shown}{more}"
