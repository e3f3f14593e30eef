"""Optimizers: from a gradient to a step of the parameters. Weight decay is decoupled and shrinks matrices alone."""

from dataclasses import dataclass

from search_spaces.dials import uniform


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    learning_rate: float = uniform(2e-3, 2e-4, 8e-3, log=True)
    weight_decay: float = uniform(1e-2, 1e-4, 1e-1, log=True)


@dataclass(frozen=True)
class Lion:
    """The sign of an average of gradients (Chen et al., 2023); at about a tenth of AdamW's rate."""

    learning_rate: float = uniform(2e-4, 2e-5, 8e-4, log=True)
    weight_decay: float = uniform(1e-1, 1e-3, 1.0, log=True)


@dataclass(frozen=True)
class Adafactor:
    """Steps in proportion to each parameter's size, large matrices factored (Shazeer and Stern, 2018); no momentum."""

    learning_rate: float = uniform(2e-2, 3e-3, 1e-1, log=True)
    weight_decay: float = uniform(1e-2, 1e-4, 1e-1, log=True)


@dataclass(frozen=True)
class Muon:
    """Matrices by their orthogonalised momentum (Jordan et al., 2024), all else by AdamW at a tenth of the rate."""

    learning_rate: float = uniform(1e-2, 1e-3, 4e-2, log=True)
    weight_decay: float = uniform(1e-2, 1e-4, 1e-1, log=True)


Optimizer = AdamW | Lion | Adafactor | Muon


ALIKE: tuple[tuple[type[Optimizer], ...], ...] = ((AdamW, Lion), (Adafactor,), (Muon,))
"""Optimizers that share a compiled program: those whose steps cost the same, element by element."""


def alike(optimizer: Optimizer) -> tuple[type[Optimizer], ...]:
    """Return the optimizers that share a compiled program with this one."""
    return next(kinds for kinds in ALIKE if type(optimizer) in kinds)
