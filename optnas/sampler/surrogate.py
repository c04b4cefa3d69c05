"""A small exact Gaussian process on the choices and the costs of networks.

Notation: n networks finished, m asked about, d choices, c costs; s is the mean similarity of two networks over
their choices (1 where they are equal). The covariance of two networks is

    main * s + pairs * s**2 + counts * (their option counts, multiplied) + trend * (their log costs, multiplied)
        + rest * exp(-sum over choices of weight * dissimilarity - sum over costs of weight * distance)

which is an effect of each choice, of each pair of choices, of how often each option occurs, a trend in the
costs, and interactions of all orders. Strengths, weights and noise are those of greatest posterior density
(Rasmussen & Williams 2006, chapter 5), under broad priors that are the same for every study.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, lapack, solve_triangular
from scipy.optimize import minimize

from optnas.sampler.encoding import Features, similarities, similarity

__all__ = ["GaussianProcess"]

Array = NDArray[np.float64]

#: Hyperparameters are fitted to at most so many networks: beyond, they hardly move and the time is cubic.
_FIT_LIMIT = 200
_ITERATIONS = 30
_JITTER = 1e-6
#: Numbers in one array of (networks asked about, networks finished): 8 MB.
_CHUNK = 1_000_000
#: Strengths of main, pairs, counts, trend and rest come first, then the weights, then the noise.
_STRENGTHS = 5
#: Prior of the noise's share of the variance: its median. A sampler may take luck for merit: it will train again.
_NOISE = 1e-3


class GaussianProcess:
    """Fitted at construction to networks that are finished.

    It can describe one thing in several units at once (an error and its logarithm, say), with the same
    hyperparameters: those that suit the units best on average.

    Args:
        features: Of n networks.
        targets: (n, q) what was learned of them in q units.
        noise_std: (n,) the standard deviation of each target about what is repeatable of it, in its unit, where
            that is known and q is 1; None to estimate one for all.
        noise: Which share of the targets' variance is expected to be noise (the median of its prior, which is broad).
            Where each network was trained once, noise looks like interactions of all orders, so this decides.
    """

    def __init__(
        self, features: Features, targets: Array, noise_std: Array | None = None, noise: float = _NOISE
    ) -> None:
        self._features = features
        self._centre: Array = targets.mean(axis=0)
        self._scale: Array = targets.std(axis=0)
        self._scale[self._scale == 0] = 1.0
        self._targets = (targets - self._centre) / self._scale
        rows = np.unique(np.linspace(0, len(targets) - 1, min(len(targets), _FIT_LIMIT)).round().astype(int))
        known = self._known = None if noise_std is None else (noise_std / self._scale) ** 2
        self._theta = _fit(features[rows], self._targets[rows], noise, None if known is None else known[rows])
        self._condition()

    @property
    def noise_std(self) -> Array:
        """(q,) the standard deviation of a target about what is repeatable of it; the quadratic mean where it is known
        of each."""
        variance = np.exp(self._theta[-1]) if self._known is None else self._known.mean()
        return np.asarray(np.sqrt(variance) * self._scale)

    @property
    def scale(self) -> Array:
        """(q,) how much of each target's unit a standard unit is: the standard deviation of the targets."""
        return np.asarray(self._scale)

    def predict(self, features: Features) -> tuple[Array, Array]:
        """Mean and standard deviation of what is repeatable, (m, q) each."""
        means, stds = [np.empty((0, len(self._scale)))], [np.empty(0)]
        step = max(1, _CHUNK // len(self._features))
        for start in range(0, len(features), step):
            part = features[start : start + step]
            cross = _covariance(self._theta, part, self._features)
            means.append(cross @ self._weights)
            explained = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
            variance = _variance(self._theta, part) - np.einsum("ij,ij->j", explained, explained)
            stds.append(np.sqrt(np.maximum(variance, _JITTER)))
        return np.concatenate(means) * self._scale + self._centre, np.concatenate(stds)[:, None] * self._scale

    def joint(self, features: Features) -> tuple[Array, Array]:
        """Mean of what is repeatable, (m, q), and its covariance between networks, (q, m, m).

        What differs between networks is better known than what each of them has: the variance of `w @ values` is
        `w @ covariance @ w`.
        """
        cross = _covariance(self._theta, features, self._features)
        explained = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
        covariance = _covariance(self._theta, features, features) - explained.T @ explained
        mean = cross @ self._weights * self._scale + self._centre
        return np.asarray(mean), np.asarray(self._scale[:, None, None] ** 2 * covariance)

    def believe(self, features: Features) -> Array:
        """Take the predictions of networks still in training for their results; returns these, (m, q).

        The mean stays as it is everywhere, and the uncertainty near those networks goes: what another worker
        should propose next ("kriging believer", Ginsbourger et al. 2010).
        """
        mean, _ = self.predict(features)
        self._features = self._features + features
        self._targets = np.concatenate([self._targets, (mean - self._centre) / self._scale])
        if self._known is not None:
            self._known = np.append(self._known, np.full(len(mean), self._known.mean()))
        self._condition()
        return mean

    def leave_one_out_density(self) -> float:
        """The log density of each network's targets given those of all others, summed; in standard units.

        With the hyperparameters as they are (Rasmussen & Williams 2006, equations 5.10 to 5.12).
        """
        precision = self._precision()
        return float((0.5 * np.log(precision / (2 * np.pi)) - 0.5 * self._weights**2 / precision).sum())

    def leave_one_out(self) -> Array:
        """(n, q) by how much each target exceeds what all other networks foretell of it."""
        return np.asarray(self._weights / self._precision() * self._scale)

    def _precision(self) -> Array:
        return np.diag(cho_solve((self._factor, True), np.eye(len(self._targets))))[:, None]

    def _condition(self) -> None:
        covariance = _covariance(self._theta, self._features, self._features)
        noise = np.exp(self._theta[-1]) if self._known is None else self._known
        covariance[np.diag_indices_from(covariance)] += noise + _JITTER
        self._factor = np.linalg.cholesky(covariance)
        self._weights = cho_solve((self._factor, True), self._targets)


def _fit(features: Features, targets: Array, noise_share: float, known: Array | None = None) -> Array:
    """The logarithms of all hyperparameters, (5 + d + c + 1,); the last, the noise, counts for nothing where the
    variances (n,) of the noise are known.
    """
    count, choices = len(features), features.choice_count
    alike = list(similarities(features, features))
    linear, costs = _linear(features, features), _cost_distances(features, features)
    similar = sum(alike, np.zeros((count, count))) / max(1, choices)
    parts = np.array([similar, similar**2, *linear]).reshape(_STRENGTHS - 1, -1)
    apart = np.array([1.0 - one for one in alike] + costs).reshape(-1, count * count)
    # The log density of a unit is that of one column; their mean is that of this matrix.
    targets = targets / np.sqrt(targets.shape[1])
    centre, width = _prior(choices, len(costs), noise_share)

    def loss(theta: Array) -> tuple[float, Array]:
        strengths, weights, noise = np.exp(theta[:_STRENGTHS]), np.exp(theta[_STRENGTHS:-1]), np.exp(theta[-1])
        decay = strengths[-1] * np.exp(-(weights @ apart))
        covariance = (strengths[:-1] @ parts + decay).reshape(count, count)
        covariance[np.diag_indices(count)] += (noise if known is None else known) + _JITTER
        factor = np.linalg.cholesky(covariance)
        lower = lapack.dpotri(factor, lower=1)[0]
        inverse = np.tril(lower) + np.tril(lower, -1).T
        solved = inverse @ targets
        deviation = (theta - centre) / width
        value = 0.5 * np.vdot(targets, solved) + np.log(np.diag(factor)).sum() + 0.5 * deviation @ deviation
        # The derivative by a hyperparameter is the sum of `slope` times that of the covariance.
        slope = 0.5 * (inverse - solved @ solved.T).ravel()
        by_decay = slope * decay
        gradient = np.concatenate(
            [
                strengths[:-1] * (parts @ slope),
                [by_decay.sum()],
                -weights * (apart @ by_decay),
                [noise * slope[:: count + 1].sum() if known is None else 0.0],
            ]
        )
        return float(value), gradient + deviation / width

    bounds = list(zip(centre - 4 * width, centre + 4 * width, strict=True))
    options = {"maxiter": _ITERATIONS}
    result = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(result.x)


def _prior(choices: int, costs: int, noise: float) -> tuple[Array, Array]:
    """Mean and standard deviation of the hyperparameters' logarithms, for targets of variance 1.

    The weights fall with the number of choices, so that two random networks are equally alike in a small
    space and in a large one (Hvarfner et al. 2024).
    """
    strengths = [(0.5, 1.5), (0.3, 1.5), (0.3, 1.5), (0.5, 1.5), (0.5, 1.5)]
    weights = [(2.0 / max(1, choices), 1.0)] * choices + [(0.5, 1.0)] * costs
    table = np.array([*strengths, *weights, (noise, 1.5)])
    return np.log(table[:, 0]), table[:, 1]


def _covariance(theta: Array, one: Features, other: Features) -> Array:
    strengths, weights = np.exp(theta[:_STRENGTHS]), np.exp(theta[_STRENGTHS:-1])
    choices = one.choice_count
    similar = similarity(one, other, np.full(choices, 1.0 / max(1, choices)))
    exponent = similarity(one, other, weights[:choices])
    exponent -= weights[:choices].sum()
    for weight, apart in zip(weights[choices:], _cost_distances(one, other), strict=True):
        exponent -= weight * apart
    counts, trend = _linear(one, other)
    smooth = strengths[0] * similar + strengths[1] * similar**2 + strengths[2] * counts + strengths[3] * trend
    return np.asarray(smooth + strengths[4] * np.exp(exponent))


def _variance(theta: Array, features: Features) -> Array:
    """The diagonal of `_covariance(theta, features, features)`."""
    strengths = np.exp(theta[:_STRENGTHS])
    counts = (features.counts**2).sum(axis=1) / max(1, features.counts.shape[1])
    trend = (features.costs**2).sum(axis=1) / max(1, features.costs.shape[1])
    similar = float(features.choice_count > 0)
    return np.asarray(
        (strengths[0] + strengths[1]) * similar + strengths[2] * counts + strengths[3] * trend + strengths[4]
    )


def _linear(one: Features, other: Features) -> tuple[Array, Array]:
    counts = one.counts @ other.counts.T / max(1, one.counts.shape[1])
    return counts, one.costs @ other.costs.T / max(1, one.costs.shape[1])


def _cost_distances(one: Features, other: Features) -> list[Array]:
    return [np.abs(one.costs[:, c, None] - other.costs[None, :, c]) for c in range(one.costs.shape[1])]
