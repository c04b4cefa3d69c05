"""Where what belongs to a study lies beside its storage: weights, checkpoints, pictures."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from pathlib import Path

from sqlalchemy import make_url

from optnas.study.addresses import shown_storage, storage_file

__all__ = ["artifacts_folder", "checkpoints_folder", "digest_of", "safe_name", "weights_folder"]


def weights_folder(storage: str, study_name: str) -> Path | None:
    """Where the trained weights of a study are kept, beside the storage's file; None for one without.

    Studies never share a folder, whatever signs are in their names and even where file names ignore case.
    """
    return _beside(storage, "weights", study_name)


def checkpoints_folder(storage: str, study_name: str, given: str | None = None) -> Path | None:
    """Where a study's running trainings leave their checkpoints; None where they leave none.

    Args:
        storage: Its address.
        study_name: The name of the study.
        given: What a person said: a folder, in which studies of one name in several storages have one each, or none.
            By default they lie beside the storage's file, as weights do.
    """
    if given is None:
        return _beside(storage, "checkpoints", study_name)
    if given == "none":
        return None
    path = storage_file(storage)
    if storage == "memory":
        where = f"process {os.getpid()} on {socket.gethostname()}"  # nobody else goes on with it
    elif path is not None:
        where = str(path.resolve())
    else:
        # The same database for who has the password in the address and who has it elsewhere.
        where = make_url(shown_storage(storage))._replace(password=None).render_as_string()
    return Path(given).resolve() / f"{safe_name(study_name)}-{digest_of(where)}"


def _beside(storage: str, what: str, study_name: str) -> Path | None:
    path = storage_file(storage)
    if path is None:
        return None
    path = path.resolve()  # one file may have several names
    return path.with_name(f"{path.name}-{what}") / safe_name(study_name)


def artifacts_folder(storage: str) -> Path | None:
    """Where optuna-dashboard finds the pictures of a storage's trials: beside its file, in the working folder for one
    without, and nowhere for one in memory."""
    if storage == "memory":
        return None
    path = storage_file(storage)
    if path is None:
        return Path("optnas-artifacts")
    path = path.resolve()  # one file may have several names
    return path.with_name(f"{path.name}-artifacts")


def safe_name(name: str) -> str:
    """A name for a file, another one for each name."""
    safe = re.sub(r"[^a-z0-9_-]+", "_", name.lower())[:60]
    return safe if safe == name != "" else f"{safe}-{digest_of(name)}"


def digest_of(text: str) -> str:
    """A few signs for a text of any."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=6).hexdigest()
