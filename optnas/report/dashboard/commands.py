"""The commands that notes name, to be copied."""

from __future__ import annotations

from optuna import Study

from optnas.printable import shell_word
from optnas.study import attribute, shown_storage
from optnas.study.settings import Settings

__all__ = ["for_study", "for_trial", "on_study"]


def on_study(study: Study, storage: str) -> str:
    """The flags that name a study; empty for one that `optnas search` did not make.

    Who reads a note need not know the password of its database.
    """
    if attribute(study, "request") is None:
        return ""
    flags = f"--study {shell_word(study.study_name)}"
    if storage == Settings.storage:
        return flags
    return f"{flags} --storage {shell_word(shown_storage(storage))}"


def for_trial(flags: str, number: int) -> list[str]:
    """What can be done with a network that was trained to the end."""
    if not flags:
        return []
    return [
        f"optnas retrain {flags} --trial {number}    # train it properly, several seeds",
        f"optnas export {flags} --trial {number} --out deploy    # files for phones, checked",
    ]


def for_study(flags: str, trained: int) -> list[str]:
    """How to go on with a study of so many trained networks."""
    if not flags or not trained:
        return []
    return [
        f"optnas search {flags} --trials {2 * trained}    # go on, to {2 * trained} in all",
        f"optnas front {flags}    # the front with its choices",
        f"optnas explain {flags}    # what each choice costs and brings",
        f"optnas report {flags} --out report.html    # all of it in one file to send round",
        f"optnas retrain {flags}    # train the best of it properly, several seeds",
        f"optnas export {flags} --out deploy    # files for phones, checked",
    ]
