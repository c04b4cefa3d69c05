import pytest


@pytest.fixture
def own_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
