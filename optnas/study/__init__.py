"""A study from its first trial to its last: storage, coordinator, executors."""

from optnas.study.addresses import shown_storage, sqlite_path, storage_file
from optnas.study.coordinator import Event, SearchStopped, is_trained, run
from optnas.study.create import attribute, find_study, open_study, study_names, versions
from optnas.study.executor import Executor, InProcess, LimitExceeded, NoWorker, WorkerDied
from optnas.study.folders import artifacts_folder, checkpoints_folder, weights_folder
from optnas.study.locks import coordinate
from optnas.study.process_pool import ProcessPool
from optnas.study.storage import open_storage

__all__ = [
    "Event",
    "Executor",
    "InProcess",
    "LimitExceeded",
    "NoWorker",
    "ProcessPool",
    "SearchStopped",
    "WorkerDied",
    "artifacts_folder",
    "attribute",
    "checkpoints_folder",
    "coordinate",
    "find_study",
    "is_trained",
    "open_storage",
    "open_study",
    "run",
    "shown_storage",
    "sqlite_path",
    "storage_file",
    "study_names",
    "versions",
    "weights_folder",
]
