"""The space of a study from what the study recorded, without its data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from optuna import Study

from optnas.cost import BlockCounter
from optnas.errors import UsageError
from optnas.space import Build, bind_space, stored_space
from optnas.study.create import attribute
from optnas.study.digest import space_digest

__all__ = ["KnownSpace", "known_space"]


@dataclass(frozen=True)
class KnownSpace:
    """A space, bound to the images of a study."""

    build: Build
    """From a trial to its network."""
    input_shape: tuple[int, int, int]
    """(channels, height, width) of one image."""
    num_classes: int

    @cached_property
    def costs(self) -> BlockCounter:
        """Counts the costs of any choices in milliseconds."""
        return BlockCounter(self.build, self.input_shape)


def known_space(study: Study) -> KnownSpace:
    """The space that `optnas search` recorded in a study.

    Raises:
        UsageError: If the study recorded none, it is one of a person's own that is not imported (see
            `stored_space`), or it is no longer the one that was searched.
    """
    settings = attribute(study, "settings") or {}
    task, space = settings.get("task", {}), settings.get("space", {})
    where = f"study {study.study_name!r}"
    if "name" not in space or "input_shape" not in task or "classes" not in task:
        raise UsageError(f"{where}: it does not say which space it searches; expected one made by optnas search")
    shape, classes = tuple(task["input_shape"]), len(task["classes"])
    build = bind_space(stored_space(space["name"], where), shape, classes)
    if space_digest(build, shape) != space.get("digest"):
        raise UsageError(f"{where}: the space {space['name']} has changed since the study was made")
    return KnownSpace(build, shape, classes)
