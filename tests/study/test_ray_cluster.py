"""Ray on several nodes, some of which are killed. They are processes of this machine, with cores by name only."""

import signal
import sys
import threading
import time
from contextlib import closing

import optuna
import pytest
import toy
from optuna.trial import TrialState
from study.conformance import until

from optnas.errors import UsageError
from optnas.study import WorkerDied, is_trained, run
from optnas.study.ray_cluster import Room, _undisturbed, import_ray, trials_in


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "trials"),
    [
        ([{"CPU": 4}, {"CPU": 3}], 1, 0, 7),
        ([{"CPU": 4}, {"CPU": 3}], 2, 0, 3),
        ([{"CPU": 4}, {"CPU": 3}], 0.5, 0, 14),
        ([{"CPU": 1}, {}], 2, 0, 0),
        ([{"CPU": 8, "GPU": 1}, {"CPU": 8}], 1, 0.25, 4),
        ([{"CPU": 2, "GPU": 1}], 1, 0.25, 2),
        ([{"CPU": 16, "GPU": 5}], 1, 2, 2),
        ([{"CPU": 16, "GPU": 2}], 1, 0.4, 4),
    ],
)
def test_trials_in_nodes(nodes, cpus, gpus, trials):
    assert trials_in(nodes, cpus, gpus) == trials


class PretendedRay:
    """What `Room` asks of Ray."""

    def __init__(self, *cpus):
        self.cpus, self.free = list(cpus), sum(cpus)

    def nodes(self):
        return [{"Alive": count > 0, "Resources": {"CPU": count}} for count in self.cpus]

    def available_resources(self):
        return {"CPU": self.free}


@pytest.fixture
def pretended(monkeypatch):
    ray, clock = PretendedRay(4, 4), [0.0]
    monkeypatch.setattr("optnas.study.ray_cluster.import_ray", lambda: ray)
    monkeypatch.setattr("optnas.study.ray_cluster.time.monotonic", lambda: clock[0])

    def later():
        clock[0] += 1

    return ray, later


def test_room_is_what_others_leave(pretended):
    ray, later = pretended
    later()
    room = Room(1, 0)
    assert room.trials(own=0) == 8
    later()
    ray.free = 8 - 2  # two of ours
    assert room.trials(own=2) == 8
    later()
    ray.free = 8 - 2 - 3  # and three of somebody else
    assert room.trials(own=2) == 5
    later()
    ray.free = 0
    later()
    ray.cpus = [4, 0]
    assert room.trials(own=2) >= 1


def test_a_job_of_ours_that_has_just_ended_is_not_taken_for_another_s(pretended):
    ray, later = pretended
    later()
    room = Room(1, 0)
    ray.free = 6
    assert room.trials(own=2) == 8
    later()
    room.ended(), room.ended()
    assert room.trials(own=0) == 8  # the nodes have not reported yet
    for _ in range(4):
        later()
    assert room.trials(own=0) == 6  # and by now they have


def test_without_ray_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'expected Ray to be installed: pip install .* "\.\[ray\]"'):
        import_ray()


def test_a_handler_that_python_cannot_see_is_no_obstacle(monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setattr(signal, "getsignal", lambda number: None)  # what it says of one of the program around it
    with _undisturbed():
        pass


#: Ray forks to start a node. JAX warns of that once LiteRT's converter has used it, which an earlier test may have.
FORKS = pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called.*JAX is multithreaded:RuntimeWarning")


@pytest.fixture
def cluster(monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    cluster.shutdown()
    signal.signal(signal.SIGTERM, before)  # each node has taken it for itself


def two_running(executor, folder):
    """Futures of two jobs that have started, one on each node."""

    def sleep(path):
        open(path, "w").close()
        time.sleep(8)
        return path

    futures = [executor.submit(sleep, str(folder / str(number))) for number in range(2)]
    deadline = time.monotonic() + 120
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    return futures


@FORKS
@pytest.mark.slow
def test_a_node_that_is_lost_costs_its_job_and_one_that_joins_is_used(cluster, tmp_path):
    from optnas.study.ray_executor import RayExecutor

    first, _ = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
    with closing(RayExecutor()) as executor:
        assert executor.slots == 2
        futures = two_running(executor, tmp_path)
        cluster.remove_node(first, allow_graceful=False)
        errors = [future.exception() for future in futures]
        assert sorted(type(error).__name__ for error in errors) == ["NoneType", "WorkerDied"]
        (lost,) = [error for error in errors if error is not None]
        assert isinstance(lost, WorkerDied)
        assert "node" in str(lost)
        assert until(lambda: executor.slots == 1)
        cluster.add_node(num_cpus=1)
        assert until(lambda: executor.slots == 2)
        (tmp_path / "again").mkdir()
        assert [future.exception() for future in two_running(executor, tmp_path / "again")] == [None, None]
    import ray

    assert not ray.is_initialized()  # but the cluster is somebody else's
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        assert sum(node["Alive"] for node in ray.nodes()) == 3
    finally:
        ray.shutdown()


@FORKS
@pytest.mark.slow
def test_a_study_ends_with_as_many_trainings_as_asked_though_a_node_is_lost(cluster, tmp_path):
    from optnas.study.ray_executor import RayExecutor

    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    log = tmp_path / "trained"
    objective = toy.objective(task=toy.ToyTask(delay=1.0, log=str(log)))
    study = optuna.create_study(directions=objective.directions, sampler=optuna.samplers.RandomSampler(0))
    killer = []

    def watch(event):
        if event.kind == "trained" and not killer:
            killer.append(threading.Thread(target=cluster.remove_node, args=(nodes[0], False)))
            killer[0].start()

    with closing(RayExecutor()) as executor:
        run(study, objective, executor, 12, watch)
        killer[0].join()
    trained = [trial for trial in study.trials if is_trained(trial)]
    assert len(trained) == 12
    assert len({trial.user_attrs["optnas:fingerprint"] for trial in trained}) == 12
    assert all(trial.state.is_finished() for trial in study.trials)
    assert not any(trial.state == TrialState.FAIL for trial in study.trials)
