"""From the name that a person types to a build function."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from optuna.trial import BaseTrial
from torch import nn

from optnas.errors import UsageError
from optnas.printable import shell_word
from optnas.space.cell import cell
from optnas.space.mobile import mobile

__all__ = ["SPACES", "Build", "Space", "bind_space", "load_space", "space_name", "stored_space"]

#: A search space whose networks know their input already.
Build = Callable[[BaseTrial], nn.Module]
#: A search space as a person writes it: takes the trial, and `input_shape` and `num_classes` if it names them.
Space = Callable[..., nn.Module]

SPACES: dict[str, Space] = {"mobile": mobile, "cell": cell}


def load_space(name: str) -> Space:
    """The space called `mobile` or `cell`, or the function `build` of a module given as `module:build`.

    It imports the module, so `name` has to come from a person; see `stored_space` for one that a file says.

    Raises:
        UsageError: If there is no such space, module or function, or the module cannot be imported.
    """
    if name in SPACES:
        return SPACES[name]
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise UsageError(f"unknown space {name!r}: expected {', '.join(SPACES)}, or your own as module:function")
    module = _import(name, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        raise UsageError(f"space {name!r}: {module.__name__} has no function {function_name!r}, it has {known}")
    return function  # type: ignore[no-any-return]


def stored_space(name: str, where: str) -> Space:
    """The space that a study says it searches, without importing anything: a file from elsewhere runs no code here.

    A person's own space is found where its module is imported already: by the person's own program, or by `load_space`
    because the person named it.

    Args:
        name: As `space_name` gives it.
        where: What says so, for the sentence.

    Raises:
        UsageError: If it is neither a space of optnas nor a function that is imported already.
    """
    if name in SPACES:
        return SPACES[name]
    module_name, _, function_name = name.partition(":")
    path = Path(module_name)
    known = path.stem if path.suffix == ".py" or len(path.parts) > 1 else module_name
    function = vars(sys.modules[known]).get(function_name) if known in sys.modules else None
    # Python's own functions are no spaces: none of them is to be called because a file says so.
    if not callable(function) or known.partition(".")[0] in sys.stdlib_module_names:
        raise UsageError(
            f"{where}: its networks are built by {name}, and a name in a file runs no code: if you trust that code, "
            f"name it yourself with --space {shell_word(name)} (in Python, space=)"
        )
    return function  # type: ignore[no-any-return]


def _import(name: str, module_name: str) -> ModuleType:
    """The module of that name, or the one in the file of that path."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    path = Path(module_name)
    if path.suffix == ".py" or len(path.parts) > 1:
        path = path.with_suffix(".py").resolve()
        if not path.is_file():
            raise UsageError(f"space {name!r}: there is no file {path}")
        # Under its own name, so that worker processes find it too.
        sys.path.insert(0, str(path.parent))
        module_name = path.stem
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            raise UsageError(
                f"space {name!r}: no module {module_name!r} in {os.getcwd()} or on Python's path"
            ) from None
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"space {name!r}: {module_name} cannot be imported: {reason}", traceback.format_exc()
        ) from None


def bind_space(space: Space, input_shape: tuple[int, int, int], num_classes: int) -> Build:
    """The space as a function of the trial alone: `input_shape` and `num_classes` are filled in if it names them."""
    if not callable(space):
        raise UsageError(f"a space is a function of a trial that returns a torch.nn.Module, got {space!r}")
    known: dict[str, Any] = {"input_shape": tuple(input_shape), "num_classes": num_classes}
    parameters = inspect.signature(space).parameters
    wanted = {name: value for name, value in known.items() if name in parameters}
    return partial(space, **wanted) if wanted else space


def space_name(space: str | Space) -> str:
    """How a study stores which space it searches: `mobile`, or the module and the name of a function."""
    if isinstance(space, str):
        return space
    for name, function in SPACES.items():
        if function is space:
            return name
    if isinstance(space, partial):
        given = ", ".join([*map(repr, space.args), *(f"{key}={value!r}" for key, value in space.keywords.items())])
        return f"{space_name(space.func)}({given})"
    return f"{space.__module__}:{getattr(space, '__qualname__', type(space).__qualname__)}"
