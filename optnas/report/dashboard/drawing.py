"""How the networks of a study are drawn from their choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from optuna import Study

from optnas.report.blocks import trial_blocks
from optnas.report.network import network_svg
from optnas.space import Build, bind_space, stored_space
from optnas.study import attribute
from optnas.study.known_space import known_space
from optnas.study.settings import Settings

__all__ = ["Drawing", "drawing_in", "drawing_of"]

#: From the choices of a trial and a title to an SVG of its network. It builds the network: it belongs to a thread in
#: which the space's function and the random numbers of torch may be used, and raises whatever the space raises.
Drawing = Callable[[Mapping[str, Any], str], str]


def drawing_of(study: Study) -> Drawing | None:
    """How the networks of any study are drawn; None if its space is not known, or no longer what it was."""
    with suppress(Exception):  # what a module raises that was changed since is no matter of the dashboard
        space = known_space(study)
        return partial(_draw, space.build, space.input_shape)
    return None


def drawing_in(study: Study, settings: Settings) -> Drawing | None:
    """The same while a study is being searched with these settings: its space need not be found again by its name."""
    task = (attribute(study, "settings") or {}).get("task", {})
    if not {"input_shape", "classes"} <= set(task):
        return None
    space = settings.space
    if isinstance(space, str):
        space = stored_space(space, f"study {study.study_name!r}")
    shape = tuple(task["input_shape"])
    return partial(_draw, bind_space(space, shape, len(task["classes"])), shape)


def _draw(build: Build, input_shape: tuple[int, int, int], choices: Mapping[str, Any], title: str) -> str:
    return network_svg(trial_blocks(build, input_shape, choices), title=title)
