import os
import signal

import optuna
import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_quiet_thread():
    # Two threads of torch collapse beside any other load, and tests run beside it; so do the processes they start.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(autouse=True, scope="session")
def _few_looks():
    """Few networks are looked at before a search: with as many as a person's gets, most of the time would go there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optnas.study.first_look._PROBES", 10)
        patch.setattr("optnas.study.supernet_training._LOOKS", 12)
        yield


@pytest.fixture
def usual_signals():
    """Signals as a terminal gives them: whoever runs tests in the background, or under nohup, has some ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
