import pytest


@pytest.fixture
def few_looks(monkeypatch, tmp_path):
    """A folder of its own, and few networks that are looked at before a search."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("optnas.study.first_look._PROBES", 8)
    monkeypatch.setattr("optnas.study.first_look._TIMED_PROBES", 2)
    monkeypatch.setattr("optnas.study.supernet_training._LOOKS", 12)
