"""Learning-rate schedules and averages of the parameters: what changes from step to step.

A trial that is paused does not know where it will end, so a schedule counts from the start. Whatever the kind, the rate
warms up linearly at first, and falls linearly to zero at the end of a trial that is trained out.
"""

from dataclasses import dataclass

from search_spaces.dials import choice, later


@dataclass(frozen=True)
class WarmupStableDecay:
    """A rate that is constant at first, and falls at the end (Hu et al., 2024, section 4).

    From `stable_steps` on it falls with the square root of the steps meanwhile (Zhai et al., 2022, section 3.5): what
    is right for minutes is too much for an hour.
    """

    warmup_steps: int = choice(100, 50, 100, 200, 400)
    stable_steps: int = later(2000, 1000, 2000, 4000, 8000, 100_000, before=100_000)


@dataclass(frozen=True)
class InverseSquareRoot:
    """A rate that falls with the square root of the steps from the warm-up on (Vaswani et al., 2017, section 5.3)."""

    warmup_steps: int = choice(400, 100, 200, 400, 800)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine down to a tenth at the horizon, then constant (Loshchilov and Hutter, 2017)."""

    warmup_steps: int = choice(100, 50, 100, 200, 400)
    horizon: int = choice(4000, 1000, 2000, 4000, 8000, 16000)


@dataclass(frozen=True)
class Linear:
    """A line down to a tenth at the horizon, then constant (Devlin et al., 2019, appendix A.2)."""

    warmup_steps: int = choice(100, 50, 100, 200, 400)
    horizon: int = choice(4000, 1000, 2000, 4000, 8000, 16000)


Schedule = WarmupStableDecay | InverseSquareRoot | Cosine | Linear


@dataclass(frozen=True)
class ExponentialAverage:
    """An exponential moving average of the parameters (Polyak and Juditsky, 1992), quicker at the start."""

    decay: float = choice(0.998, 0.99, 0.995, 0.998, 0.999)


@dataclass(frozen=True)
class PolynomialAverage:
    """A mean of the checkpoints of every step so far, step t weighing about t^power (Shamir and Zhang, 2013)."""

    power: int = choice(8, 3, 8, 15)


Averaging = ExponentialAverage | PolynomialAverage
