import shutil

import pytest
import toy

import optnas
from optnas.study.reopen import reopen

SEARCH = {"space": "toy:digits_space", "epochs": 1, "workers": 0, "sampler": "random", "pruner": "none"}


@pytest.fixture(scope="session")
def _searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    optnas.search(trials=5, storage=f"sqlite:///{folder}/study.db", **SEARCH)
    return folder


@pytest.fixture
def storage(_searched, tmp_path):
    """The address of a study of five networks of `toy.digits_space`, a copy of its own for each test."""
    shutil.copytree(_searched, tmp_path / "copy", ignore=shutil.ignore_patterns("*.lock"))
    return f"sqlite:///{tmp_path}/copy/study.db"


@pytest.fixture
def reopened(storage):
    return reopen(None, storage)


@pytest.fixture
def space():
    return toy.digits_space
