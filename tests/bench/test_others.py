"""Samplers of other libraries: where their packages are installed, they search as a sampler should."""

from itertools import product

import numpy as np
import pytest

from optnas.bench.others import OTHERS
from optnas.bench.samplers import replay_samplers
from optnas.bench.table import Table

pytestmark = [
    pytest.mark.slow,
    # Theirs, of which nothing is ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def table_of(choices, options):
    """Errors fall and costs grow with every option, by another amount in each choice."""
    rows = np.array(list(product(range(options), repeat=choices)))
    weight = np.arange(1.0, choices + 1)
    macs = 1 + (rows * weight).sum(axis=1)
    error = 1 / (1 + (rows * weight[::-1]).sum(axis=1))
    networks = [{f"x_{i}": f"op{option}" for i, option in enumerate(row)} for row in rows]
    return Table(networks, {"error": error, "macs": macs})


@pytest.fixture(params=OTHERS)
def name(request):
    package = OTHERS[request.param][1]
    pytest.importorskip(package, reason=f"{package} is not installed (pip install 'optnas[bench]')")
    return request.param


def test_it_repeats_itself_with_a_seed_and_differs_with_another(name):
    def found(seed):
        results = replay_samplers(table_of(4, 3), ["error", "macs"], [name], 25, [seed])
        return [(result.trainings, result.hypervolume) for result in results]

    assert found(0) == found(0) != found(1)


def test_it_finds_more_than_random_search(name):
    """243 networks, 60 trainings, after 20 of which it may learn."""
    share = {}
    for sampler in (name, "random"):
        results = replay_samplers(table_of(5, 3), ["error", "macs"], [sampler], 50, 2)
        share[sampler] = np.mean([result.hypervolume for result in results if result.trainings == 50])
    assert share[name] > share["random"]


def test_a_part_of_a_space_and_three_objectives(name):
    whole = table_of(4, 3)
    columns = {key: column[::2] for key, column in whole.columns.items()}
    part = Table(whole.networks[::2], columns | {"size_bytes": columns["macs"] ** 2})
    results = replay_samplers(part, ["error", "macs", "size_bytes"], [name], 25, 1)
    assert [result.trainings for result in results] == [10, 25]


def test_a_space_of_nine_networks_ends_before_ten_trainings(name):
    """SMAC avoids all repeats, pymoo those of members of the population, which holds all nine."""
    assert replay_samplers(table_of(2, 3), ["error", "macs"], [name], 10, 1) == []
