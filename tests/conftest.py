import optuna
import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_quiet_thread():
    # Two threads of torch collapse beside any other load, and tests run beside it.
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
