"""Work: the floating-point operations of a piece of a model, and what it keeps in memory for the gradient.

Counted as XLA counts them: a product of matrices is two an entry and term, whatever is done to an entry of an array is
one, comparisons and the integers of dropout included; exponentials, roots and the like are counted apart, and not here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """What a program is given; tokens include the special ones, a target its begin or end.

    Attributes:
        source_vocabulary: Number of source tokens.
        target_vocabulary: Number of target tokens.
        rows: Rows of a batch.
        source: Tokens of a row's source.
        target: Tokens of a row's target.
    """

    source_vocabulary: int
    target_vocabulary: int
    rows: int
    source: int
    target: int


@dataclass(frozen=True)
class Work:
    """Work of a piece of a model; `+` does one after another, `*` one several times.

    Attributes:
        forward: Operations of its outputs.
        backward: Those of its gradient.
        noise: Those of its dropout, in training.
        kept: Values of four bytes that lie in memory from the forward to the backward pass.
    """

    forward: float = 0.0
    backward: float = 0.0
    noise: float = 0.0
    kept: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Return both."""
        return Work(
            self.forward + other.forward,
            self.backward + other.backward,
            self.noise + other.noise,
            self.kept + other.kept,
        )

    def __mul__(self, times: int) -> "Work":
        """Return the same several times."""
        return Work(times * self.forward, times * self.backward, times * self.noise, times * self.kept)

    @property
    def training(self) -> float:
        """Operations of all."""
        return self.forward + self.backward + self.noise


NONE = Work()


def each(entries: float, forward: float, backward: float, kept: float = 0.0) -> Work:
    """Return so many operations for each entry of an array, for its gradient, and values kept in between."""
    return Work(entries * forward, entries * backward, kept=entries * kept)


def product(rows: int, inputs: int, outputs: int) -> Work:
    """Return a product of matrices, and the two of its gradients."""
    return each(2 * rows * inputs * outputs, 1, 2) + each(rows * outputs, 0, 0, 1)


def linear(rows: int, inputs: int, outputs: int) -> Work:
    """Return a product and the bias."""
    return product(rows, inputs, outputs) + each(rows * outputs, 1, 1)


def dropout(entries: int) -> Work:
    """Return hashing the coordinates of each entry, and zeroing or scaling it."""
    return Work(noise=16.0 * entries, kept=1.25 * entries)


def norm(kind: str, rows: int, size: int) -> Work:
    """Return a layer normalisation, or one by the root mean square."""
    return each(rows * size, 7, 13, 2) if kind == "layer" else each(rows * size, 4, 9, 2)
