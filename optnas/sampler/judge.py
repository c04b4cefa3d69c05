"""Which of some candidates a study should train next, given its history."""

from __future__ import annotations

from collections.abc import Mapping

import moocore
import numpy as np
from numpy.typing import NDArray

from optnas.sampler.acquisition import Mixture, Prediction, expected_improvement, nondominated_boxes
from optnas.sampler.candidates import Catalogue, Rows
from optnas.sampler.encoding import Features
from optnas.sampler.history import History
from optnas.sampler.measured import Limits, Partly
from optnas.sampler.surrogate import GaussianProcess

__all__ = ["Judge", "Model"]

Array = NDArray[np.float64]
#: The model sees at most so many networks, those nearest to the front: the time is cubic in them.
_MODELLED = 500
#: Candidates times boxes of the exact improvement; beyond, candidates are screened against part of the front.
_EXACT_WORK = 20_000_000
#: Members of the front that screen.
_SCREEN = 30
#: The unit of an unknown objective: so many times the way from its best to its median. Networks at chance
#: level, far beyond, would otherwise stretch the scale until nothing else shows.
_UNIT = 4.0
#: Losses are capped there, in that unit: how bad the useless are teaches nothing.
_CAP = 2.0
#: How far below the best loss the origins of the logarithm lie, in distances from the best to the median.
_SHIFTS = (0.5, 2.0)
#: The worst value that counts is this quantile of what all networks are expected to have ...
_WORST = 0.9
#: ... but at least this much above the best, in that unit, ...
_LEAST = 0.25
#: ... as estimated from so many networks.
_SAMPLE = 1000


class Model:
    """A surrogate of one objective, scaled so that 0 is the best seen and 1 about as bad as networks are.

    Errors crowd near the best and have a long tail, so a Gaussian process sees log(loss - origin). How far the
    origin lies below the best decides what is believed: near, and a slightly better network is hard to
    imagine; far, and the bad ones rule the scale. Neither is right everywhere, so the model is an equal
    mixture over origins. What is measured of a network and is not learned, such as its latency, has an origin of its
    own, nothing, and no useless values.

    Args:
        features: Of n networks.
        losses: (n,).
        origin: Below all losses, if it is known.
    """

    def __init__(self, features: Features, losses: Array, origin: float | None = None) -> None:
        if origin is None:
            losses = np.minimum(losses, _CAP)
            best, median = float(losses.min()), float(np.median(losses))
            self._origins = best - np.array(_SHIFTS) * (median - best or 1.0)
        else:
            self._origins = np.array([origin])
        self._process = GaussianProcess(features, np.log(losses[:, None] - self._origins))

    def predict(self, features: Features) -> Mixture:
        """What a training of each network would tell: its noise is part of it."""
        mean, std = self._process.predict(features)
        std = np.hypot(std, self._process.noise_std)
        parts = (Prediction(mean[:, i], std[:, i], float(origin)) for i, origin in enumerate(self._origins))
        return Mixture(tuple(parts))

    def believe(self, features: Features) -> Array:
        """Take what is expected for results, and return it: (m,)."""
        return np.asarray((self._origins + np.exp(self._process.believe(features))).mean(axis=1))


class Judge:
    """Ranks candidates for one trial.

    Args:
        catalogue: Of the candidates.
        history: The study without the trial that asks, with at least two finished trials.
        partly: Networks without values, and their losses as far as they are known.
        known: Column of the losses to column of the costs, for the objectives known beforehand.
        signs: (k,) -1 where an objective is maximised.
        learned: The column that training tells; other unknown ones are costs that are measured.
        startup: How many of the finished trials are a sample of the whole range, not of the front.
        limits: That only measuring tells; what a network would improve counts by its chance to be within.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        history: History,
        partly: Partly,
        known: Mapping[int, int],
        signs: Array,
        learned: int,
        startup: int,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits
        self._catalogue, self._history = catalogue, history
        self._known, self._signs = dict(known), signs
        self._unknown = [column for column in range(len(signs)) if column not in known]
        self._learned, self._partly = learned, partly
        self._low, self._high = self._range(startup)
        self._front = self._scale(history.losses[history.feasible])
        self._models = self._fit()
        self._reference = self._worst()
        self._improvement = 0.0
        # All at once: what is expected of one changes nothing in what is expected of the others.
        self._take(catalogue.rows(history.pending))

    def best(self, rows: Rows, count: int = 64) -> Rows:
        """Up to `count` candidates of greatest expected improvement of the hypervolume, the best first."""
        features = self._catalogue.features(rows)
        losses = self._losses(rows)
        known = {column: losses[:, column] for column in self._known}
        unknown = {column: model.predict(features) for column, model in self._models.items()}
        boxes = nondominated_boxes(self._front, self._reference)
        kept = np.arange(len(rows))
        if len(rows) * len(boxes[0]) > _EXACT_WORK:
            # Against part of the front all look better than they are, but the good ones still best.
            part = self._front[np.argsort(self._front[:, 0], kind="stable")][:: 1 + len(self._front) // _SCREEN]
            rough = expected_improvement(nondominated_boxes(part, self._reference), known, unknown)
            kept = np.argsort(-rough, kind="stable")[: max(count, _EXACT_WORK // len(boxes[0]))]
            known = {column: values[kept] for column, values in known.items()}
            unknown = {column: prediction[kept] for column, prediction in unknown.items()}
        improvement = expected_improvement(boxes, known, unknown)
        if self._limits is not None:
            improvement = improvement * self._limits.chance(features[kept])
        self._improvement = float(improvement.max(initial=0.0))
        return np.asarray(rows[kept[np.argsort(-improvement, kind="stable")[:count]]])

    @property
    def gain(self) -> float:
        """What the best candidate that was ranked last is expected to add to the hypervolume, as a share of it."""
        inside = self._front[(self._front < self._reference).all(axis=1)]
        covered = float(moocore.hypervolume(inside, ref=self._reference)) if len(inside) else 0.0
        return self._improvement / covered if covered > 0 else float("inf")

    def choose(self, rows: Rows) -> int:
        """The best candidate, after those that blind trials take: they choose now, from the same history."""
        for _ in range(min(self._history.blind, len(rows) - 1)):
            taken = self.best(rows, 1)
            self._take(taken)
            rows = np.setdiff1d(rows, taken)
        return int(self.best(rows, 1)[0])

    def _range(self, startup: int) -> tuple[Array, Array]:
        """What becomes 0 and 1 in each objective, (k,) each: the best and the worst of a known one, and of an
        unknown one the best and some units beyond the median of the first trainings; later ones crowd near
        the front.
        """
        losses, first = self._history.losses, self._catalogue.first
        allowed = self._catalogue.allowed(first)
        low, high = losses.min(axis=0), losses.max(axis=0)
        for column, cost in self._known.items():
            costs = self._signs[column] * self._catalogue.costs(first[allowed] if allowed.any() else first)[:, cost]
            low[column], high[column] = min(low[column], costs.min()), max(high[column], costs.max())
        for column in self._unknown:
            high[column] = low[column] + _UNIT * (np.median(losses[:startup, column]) - low[column])
        return low, np.where(high > low, high, low + 1.0)

    def _fit(self) -> dict[int, Model]:
        networks, partly = self._partly
        losses = self._scale(np.concatenate([self._history.losses, partly]))
        rows = self._catalogue.rows([*(trial.params for trial in self._history.finished), *networks])
        for column in self._known:
            losses[:, column] = self._losses(rows)[:, column]
        models = {}
        for column in self._unknown:
            usable = (rows >= 0) & np.isfinite(losses[:, column])
            origin = self._origin(column)
            if origin is not None:
                usable &= losses[:, column] > origin
            used = _nearest(losses, np.flatnonzero(usable))
            models[column] = Model(self._catalogue.features(rows[used]), losses[used, column], origin)
        return models

    def _origin(self, column: int) -> float | None:
        """What nothing is in the scale of a measured cost; None for a column that training tells."""
        if column == self._learned or self._signs[column] < 0:
            return None
        nothing = float(-self._low[column] / (self._high[column] - self._low[column]))
        return nothing if self._low[column] > 0 else None

    def _worst(self) -> Array:
        """(k,) the worst scaled losses that count: the greatest cost, known or expected, and the error that nine
        networks in ten are expected to stay below.
        """
        worst = np.ones(len(self._signs))
        first = self._catalogue.first[:: 1 + len(self._catalogue.first) // _SAMPLE]
        for column, model in self._models.items():
            expected = model.predict(self._catalogue.features(first)).median
            if self._origin(column) is None:
                worst[column] = np.clip(np.quantile(expected, _WORST), _LEAST, _CAP)
            else:
                worst[column] = max(expected.max(), self._front[:, column].max(initial=0.0))
        return worst

    def _take(self, rows: Rows) -> None:
        """Count networks as trained, with the results that are expected."""
        rows = rows[rows >= 0]
        if not len(rows):
            return
        losses = self._losses(rows)
        for column, model in self._models.items():
            losses[:, column] = model.believe(self._catalogue.features(rows))
        self._front = np.concatenate([self._front, losses[self._catalogue.allowed(rows)]])

    def _losses(self, rows: Rows) -> Array:
        """(m, k) scaled losses of networks, NaN where they are not known."""
        costs = self._catalogue.costs(rows)
        losses = np.full((len(rows), len(self._signs)), np.nan)
        for column, cost in self._known.items():
            losses[:, column] = self._signs[column] * costs[:, cost]
        return self._scale(losses)

    def _scale(self, losses: Array) -> Array:
        return (losses - self._low) / (self._high - self._low)


def _nearest(losses: Array, usable: Rows) -> Rows:
    """Which networks a model sees: of those that can be used the ones that the fewest others dominate."""
    if len(usable) <= _MODELLED:
        return usable
    values = np.nan_to_num(losses[usable], nan=np.inf)
    # Column by column: a row of two or three numbers takes numpy ten times as long.
    columns = list(values.T)
    dominated = np.array(
        [
            np.count_nonzero(
                np.logical_and.reduce([column <= number for column, number in zip(columns, value, strict=True)])
            )
            for value in values
        ]
    )
    return np.asarray(np.sort(usable[np.argsort(dominated, kind="stable")[:_MODELLED]]))
