"""The commands that notes name."""

import shlex

import handmade
import pytest

from optnas.cli import _parser
from optnas.report.dashboard.commands import for_study, for_trial, on_study


@pytest.mark.parametrize("storage", ["sqlite:///optnas.db", "sqlite:////a b/c.db", "postgresql://me:secret@host/db"])
@pytest.mark.parametrize("name", ["digits", "it's; rm -rf ~ `x` $HOME", "two\nlines"])
def test_every_command_is_one_and_names_the_study(name, storage):
    study = handmade.new_study(name=name)
    study.set_user_attr("optnas:request", {})
    flags = on_study(study, storage)
    for line in [*for_trial(flags, 7), *for_study(flags, 20)]:
        words = shlex.split(line, comments=True)
        assert words[0] == "optnas"
        given, unknown = _parser().parse_known_args(words[1:])
        assert unknown == []
        assert given.study == name
        assert (given.storage or "sqlite:///optnas.db") == storage.replace("secret", "***")


def test_of_a_study_of_others_nothing_is_asked():
    flags = on_study(handmade.new_study(), "sqlite:///optnas.db")
    assert for_trial(flags, 7) == for_study(flags, 20) == []


def test_a_search_without_a_training_has_nothing_to_retrain():
    study = handmade.new_study()
    study.set_user_attr("optnas:request", {})
    assert for_study(on_study(study, "sqlite:///optnas.db"), 0) == []
