from pathlib import Path

import pytest

from optnas.study.folders import checkpoints_folder, safe_name

SERVER = "postgresql+psycopg://ada@db.example:5433/searches"


def test_a_password_in_the_address_makes_no_other_database_of_it(tmp_path: Path) -> None:
    bare = checkpoints_folder(SERVER, "s", str(tmp_path))
    assert bare is not None
    assert bare.parent == tmp_path.resolve()
    assert checkpoints_folder(SERVER.replace("ada@", "ada:secret@"), "s", str(tmp_path)) == bare


@pytest.mark.parametrize(
    "other", [SERVER.replace("ada", "bob"), SERVER.replace("5433", "5434"), f"{SERVER}2", "memory", "sqlite:///a.db"]
)
def test_studies_of_one_name_in_several_storages_have_a_folder_each(other: str, tmp_path: Path) -> None:
    assert checkpoints_folder(other, "s", str(tmp_path)) != checkpoints_folder(SERVER, "s", str(tmp_path))
    assert checkpoints_folder(other, "s", "none") is None


def test_names_that_a_file_system_may_take_for_one_stay_apart() -> None:
    names = ["s", "S", "s/1", "s_1", "", "ü"]
    assert len({safe_name(name).lower() for name in names}) == len(names)
    assert safe_name("s") == "s"
