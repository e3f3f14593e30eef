"""Where learning curves lead, and how surely: Gaussian processes over dials and tokens.

The smooth score of a trial with dials x after t tokens is modelled as

    y(x, t) = f(t) + g(x, t) + h(t),    each of the form    a + b u(t) + c w(t),    u(t) = t ** -exponent

where f is common to all trials, the coefficients of g are Gaussian processes over the dials (Matérn 5/2), and h belongs
to one trial alone. u makes it a power law; w is a random walk over rungs whose steps shrink, for no curve keeps to a
power law, and what a low rung shows says the less the further one looks. So a trial that has not begun is forecast by
its likes, and one that has by itself more and more. Freeze-thaw Bayesian optimization (Swersky et al., 2014) has the
same purpose with exponential decay, DPL (Kadra et al., 2023) with an ensemble of networks that end in a power law.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

DRAWS, ROUNDS, CHANGES = 32, 3, 12
"""Settings of the kernel are drawn from their prior, and in rounds the likeliest are changed a little."""
KEPT = 6
"""The likeliest are kept and averaged."""
REFIT = 1.15
"""So many times more measurements let the settings be chosen anew."""
COMMON = (1.0, 1.4, 0.3)
"""Standard deviations in nats of the common level, slope and walk."""
NOISE = 0.01
"""Nats by which a score on valid may be off by chance."""
PRIOR = ((0.3, 0.6), (0.2, 0.6), (0.15, 0.6), (0.1, 0.7), (0.1, 0.7), (0.1, 0.7), (0.6, 0.4), (0.3, 0.5))
"""Middle and spread (of the logarithm) of the settings, in the order of `Kernel`'s fields, the lengths left out."""
LENGTH_SPREAD = 0.7
TREND = 0.5
"""Weight of a linear trend along the dials: with few trials that is all that can be seen."""


@dataclass(frozen=True)
class Places:
    """Where scores are known or wanted: the trial, its dials on [0, 1] and the tokens seen, in units of rung 0."""

    trial: Int[np.ndarray, " places"]
    dials: Float[np.ndarray, "places dials"]
    tokens: Float[np.ndarray, " places"]


@dataclass(frozen=True)
class Kernel:
    """Settings of the model.

    Attributes:
        lengths: Distance along each dial over which trials resemble each other.
        level, slope, walk: Standard deviations in nats, of what the dials explain.
        own_level, own_slope, own_walk: Of what belongs to one trial alone.
        exponent: Of the power law.
        shrinking: How much smaller the variance of the walk's steps is from rung to rung, as a rate.
    """

    lengths: Float[np.ndarray, " dials"]
    level: float
    slope: float
    walk: float
    own_level: float
    own_slope: float
    own_walk: float
    exponent: float
    shrinking: float

    def covariance(self, a: Places, b: Places) -> Float[np.ndarray, "a b"]:
        """Return the prior covariance of two sets of places."""
        decay = np.outer(a.tokens**-self.exponent, b.tokens**-self.exponent)
        walked = np.minimum(self._walked(a.tokens)[:, None], self._walked(b.tokens))  # it grows with the tokens

        def part(level: float, slope: float, walk: float, decay: Any = decay, walked: Any = walked) -> Any:
            found = slope**2 * decay
            found += walk**2 * walked
            found += level**2
            return found

        total: Float[np.ndarray, "a b"] = part(self.level, self.slope, self.walk)
        total *= _alike(a.dials, b.dials, self.lengths)
        total += part(*COMMON)
        same = np.nonzero(a.trial[:, None] == b.trial)
        total[same] += part(self.own_level, self.own_slope, self.own_walk, decay[same], walked[same])
        return total

    def variance(self, places: Places) -> Float[np.ndarray, " places"]:
        """Return the prior variance at each place."""
        decay, walked = places.tokens ** (-2 * self.exponent), self._walked(places.tokens)

        def part(level: float, slope: float, walk: float) -> Float[np.ndarray, " places"]:
            return level**2 + slope**2 * decay + walk**2 * walked

        likeness = 1 + TREND**2 * (((places.dials - 0.5) / self.lengths) ** 2).sum(1)
        of_dials = likeness * part(self.level, self.slope, self.walk)
        own = part(self.own_level, self.own_slope, self.own_walk)
        total: Float[np.ndarray, " places"] = part(*COMMON) + of_dials + own
        return total

    def _walked(self, tokens: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the variance of a walk up to there; its first rung adds about 1."""
        walked: Float[np.ndarray, "*shape"] = (1 - (1 + tokens) ** (-self.shrinking / np.log(2))) / (
            1 - np.exp(-self.shrinking)
        )
        return walked


@dataclass(frozen=True)
class Fit:
    """One kernel given the measurements: `whitening` is the inverse of the Cholesky factor of their covariance."""

    kernel: Kernel
    likelihood: float
    whitening: Float[np.ndarray, "places places"]
    weights: Float[np.ndarray, " places"]


@dataclass(frozen=True)
class Forecast:
    """What is expected anywhere, given what was measured."""

    measured: Places
    center: float
    fits: tuple[Fit, ...]

    def at(self, places: Places) -> tuple[Float[np.ndarray, " places"], Float[np.ndarray, " places"]]:
        """Return mean and standard deviation of the smooth score, in nats."""
        shares = np.exp([fit.likelihood - self.fits[0].likelihood for fit in self.fits])
        shares = (shares / shares.sum())[:, None]
        means, variances = (np.stack(part) for part in zip(*(self._by(f, places) for f in self.fits), strict=True))
        mean = (shares * means).sum(0)
        variance = (shares * (variances + means**2)).sum(0) - mean**2
        return mean + self.center, np.sqrt(np.maximum(variance, 1e-12))

    def _by(self, fit: Fit, places: Places) -> tuple[Float[np.ndarray, " places"], Float[np.ndarray, " places"]]:
        covariance = fit.kernel.covariance(places, self.measured)
        explained = (fit.whitening @ covariance.T) ** 2
        return covariance @ fit.weights, np.maximum(fit.kernel.variance(places) - explained.sum(0), 1e-12)


@dataclass
class Forecaster:
    """Makes forecasts; keeps the kernel's settings until there is clearly more to choose them by."""

    _kernels: tuple[Kernel, ...] = ()
    _chosen_at: float = field(default=0.0)

    def forecast(self, measured: Places, scores: Float[np.ndarray, " places"]) -> Forecast:
        """Fit the curves of all trials at once; there must be a measurement."""
        center = float(np.median(scores))
        count = len(scores)
        if not self._kernels or not 1 <= count / self._chosen_at < REFIT:
            fits = _chosen(measured, scores - center)
            self._kernels, self._chosen_at = tuple(fit.kernel for fit in fits), float(count)
        else:
            fits = _fits(self._kernels, measured, scores - center)
        return Forecast(measured, center, tuple(fits))


def _fits(kernels: tuple[Kernel, ...], measured: Places, scores: Float[np.ndarray, " places"]) -> list[Fit]:
    return sorted((_fit(kernel, measured, scores) for kernel in kernels), key=lambda fit: -fit.likelihood)


def _fit(kernel: Kernel, measured: Places, scores: Float[np.ndarray, " places"]) -> Fit:
    covariance = kernel.covariance(measured, measured) + NOISE**2 * np.eye(len(scores))
    factor = np.linalg.cholesky(covariance)
    whitening = np.linalg.inv(factor)
    white = whitening @ scores
    likelihood = -0.5 * float(white @ white) - float(np.log(np.diag(factor)).sum())
    return Fit(kernel, likelihood, whitening, whitening.T @ white)


def _chosen(measured: Places, scores: Float[np.ndarray, " places"]) -> list[Fit]:
    """Return the likeliest settings that random search finds; the draws are the same in every search."""
    draw = np.random.default_rng(0)
    axes = measured.dials.shape[1]
    spreads = np.array([spread for _, spread in PRIOR] + [LENGTH_SPREAD] * axes)
    found: list[tuple[float, Float[np.ndarray, " settings"], Fit]] = []

    def weigh(settings: Float[np.ndarray, "draws settings"]) -> None:
        for row in settings:
            fit = _fit(_kernel(row), measured, scores)
            found.append((fit.likelihood - 0.5 * float(((row / spreads) ** 2).sum()), row, fit))
        found.sort(key=lambda entry: -entry[0])
        del found[KEPT:]

    weigh(np.vstack([np.zeros((1, len(spreads))), draw.normal(0.0, spreads, (DRAWS - 1, len(spreads)))]))
    for number in range(ROUNDS):
        middles = np.array([found[i % len(found)][1] for i in range(CHANGES)])
        weigh(middles + draw.normal(0.0, spreads * 0.6 * 0.7**number, middles.shape))
    return [fit for _, _, fit in found]


def _kernel(settings: Float[np.ndarray, " settings"]) -> Kernel:
    """Return the kernel at logarithmic distances from the middle of the prior."""
    numbers = [float(middle * np.exp(x)) for (middle, _), x in zip(PRIOR, settings, strict=False)]
    numbers[6] = min(numbers[6], 1.5)
    lengths = np.sqrt(max(len(settings) - len(PRIOR), 1)) / 2 * np.exp(settings[len(PRIOR) :])
    return Kernel(lengths, *numbers)


def _alike(
    a: Float[np.ndarray, "a dials"], b: Float[np.ndarray, "b dials"], lengths: Float[np.ndarray, " dials"]
) -> Float[np.ndarray, "a b"]:
    """Return how much configurations resemble each other: Matérn 5/2, and a linear trend along each dial.

    Rows that follow each other with the same dials, as those of one trial do, are computed once.
    """
    (firsts_a, runs_a), (firsts_b, runs_b) = _runs(a), _runs(b)
    a, b = (a[firsts_a] - 0.5) / lengths, (b[firsts_b] - 0.5) / lengths
    product = a @ b.T
    distance = np.sqrt(5 * np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * product, 0.0))
    alike = (1 + distance + distance**2 / 3) * np.exp(-distance) + TREND**2 * product
    repeated: Float[np.ndarray, "a b"] = alike[runs_a[:, None], runs_b]
    return repeated


def _runs(rows: Float[np.ndarray, "rows dials"]) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " rows"]]:
    """Return where each run of equal rows begins, and the run of each row."""
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return np.flatnonzero(new), np.cumsum(new) - 1
