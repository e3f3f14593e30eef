"""Optimizers and their schedules."""

from dataclasses import dataclass

from search_spaces.dials import choice, uniform


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019); the rate warms up, stays, falls at the end."""

    learning_rate: float = uniform(2e-3, 2e-4, 8e-3, log=True)
    weight_decay: float = uniform(1e-2, 1e-4, 1e-1, log=True)
    warmup_steps: int = choice(100, 50, 100, 200, 400)


Optimizer = AdamW
