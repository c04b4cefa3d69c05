"""The one construct of a search space beyond Optuna's own `trial.suggest_*`."""

from collections.abc import Callable, Mapping

from optuna.trial import BaseTrial
from torch import nn

from optnas.errors import UsageError
from optnas.space.stub import StubTrial

__all__ = ["choose"]


def choose(trial: BaseTrial, name: str, options: Mapping[str, Callable[[], nn.Module]]) -> nn.Module:
    """One module out of several, as a categorical choice of the trial.

    Asked again under the same name it takes the same option and builds another module of it, with weights of its
    own. Use what it returns as a layer, and do not look into it: a search by gradients puts a mixture of several
    options in its place, whose outputs must therefore have one shape.

    Args:
        trial: An Optuna trial, or a stub of `optnas.space`.
        name: The name of the choice ("stage2.block1.op"), unique within the network unless the same is meant.
        options: What each option is called and how it is built. Only the chosen one is built, so a choice
            may suggest further ones inside its builder: they then exist for this option alone.

    Raises:
        UsageError: If there is no option.
    """
    if not options:
        raise UsageError(f"choose({name!r}) got no option: expected at least one, as a dict of name to builder")
    if isinstance(trial, StubTrial):
        return trial.choose(name, options)
    return options[trial.suggest_categorical(name, list(options))]()
