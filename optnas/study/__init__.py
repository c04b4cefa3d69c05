"""A study from its first trial to its last: storage, coordinator, executors."""

from optnas.study.coordinator import Event, SearchStopped, is_trained, run
from optnas.study.create import attribute, find_study, open_study, study_names, versions
from optnas.study.executor import Executor, InProcess, ProcessPool, WorkerDied
from optnas.study.storage import coordinate, open_storage, sqlite_path, weights_folder

__all__ = [
    "Event",
    "Executor",
    "InProcess",
    "ProcessPool",
    "SearchStopped",
    "WorkerDied",
    "attribute",
    "coordinate",
    "find_study",
    "is_trained",
    "open_storage",
    "open_study",
    "run",
    "sqlite_path",
    "study_names",
    "versions",
    "weights_folder",
]
