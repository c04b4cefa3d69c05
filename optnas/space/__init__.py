"""WHAT can be built: functions from a trial to a network, and ways to explore them without a study."""

from optnas.space.cell import cell
from optnas.space.choose import choose
from optnas.space.fingerprint import fingerprint
from optnas.space.load import SPACES, Build, Space, bind_space, load_space, space_name, stored_space
from optnas.space.mobile import mobile
from optnas.space.stub import (
    CHOSEN,
    Choices,
    RandomTrial,
    ReplayTrial,
    StubTrial,
    crossover,
    enumerate_space,
    mutate,
    options_of,
    sample,
)

__all__ = [
    "CHOSEN",
    "SPACES",
    "Build",
    "Choices",
    "RandomTrial",
    "ReplayTrial",
    "Space",
    "StubTrial",
    "bind_space",
    "cell",
    "choose",
    "crossover",
    "enumerate_space",
    "fingerprint",
    "load_space",
    "mobile",
    "mutate",
    "options_of",
    "sample",
    "space_name",
    "stored_space",
]
