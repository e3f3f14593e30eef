"""Low-rank adaptation: matrices stay as they are, and a product of two thin ones that is learnt is added to each.

(Hu et al., 2021, LoRA.) Whoever reads a checkpoint finds the sum under the matrix's own name, as of any other trial.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from automl.models.parameters import Declared, Form, Parameters, declared, drawn, normal, parameter, zeros
from automl.segments import Segment
from automl.training.matrices import Sizes, Stack
from search_spaces.seq2seq import DRAWN, RANKS, Seq2Seq

DOWN, UP = ".down", ".up"
"""How the names of the factors of a matrix end: first its inputs are mapped to few numbers, then these to outputs."""


def is_adapted(trained: Mapping[str, Any]) -> bool:
    """Whether what is trained are factors."""
    return any(path.endswith(UP) for path in trained)


def start_of(segment: Segment) -> str:
    """Return what a trial begins with."""
    return str(segment.configuration.get("start", DRAWN))


def rank_of(configuration: Seq2Seq) -> int | None:
    """Return the rank of what is added to matrices; nothing where they are trained themselves."""
    return configuration.lora_rank if configuration.tuned == "lora" else None


def factors(model: nnx.Module) -> Declared:
    """Declare the two factors of each matrix of a model, with room between them for every rank that a dial may have.

    Each has the axes of the matrix, one of them as long as there is room; a matrix of fewer rows or columns has less.
    """
    found = {}
    for path, param in declared(model).items():
        form, shape, blocks = param.get_metadata("form"), param.get_value().shape, param.get_metadata("blocks")
        if form.kind == "matrix":
            room = min(max(RANKS), shape[form.rows], shape[form.columns])
            start = normal(shape[form.rows] ** -0.5)
            down, up = (_with(shape, axis, room) for axis in (form.columns, form.rows))
            found[path + DOWN] = parameter(down, start, form, _with(blocks, form.columns, 1))
            found[path + UP] = parameter(up, zeros, form, _with(blocks, form.rows, 1))
    return found


def initial_factors(model: nnx.Module, seed: int, rank: int) -> dict[str, NDArray[np.float32]]:
    """Return start values of factors: the first is drawn, what is beyond the rank and the second are 0.

    So nothing is added at first, and what is beyond the rank stays 0, as padding does: its gradients are 0.
    """
    of = factors(model)
    values = drawn(of, seed)
    for path, value in values.items():
        if path.endswith(DOWN):
            np.moveaxis(value, of[path].get_metadata("form").columns, 0)[rank:] = 0
    return values


def adapted(
    base: Parameters, own: Parameters, forms: Mapping[str, Form], scale: Float[Array, ""]
) -> dict[str, Float[Array, "..."]]:
    """Return the parameters of a model: each matrix with `scale` times the product of its factors, all else as it is.

    Args:
        base: Those to which is added.
        own: The factors.
        forms: What each parameter of the model is.
        scale: The same for all.
    """

    def changed(path: str, value: Float[Array, "..."]) -> Float[Array, "..."]:
        if path + DOWN not in own:
            return value
        down, up = (Stack.of(forms[path], own[name].shape).matrices(own[name]) for name in (path + DOWN, path + UP))
        return value + scale * Stack.of(forms[path], value.shape).array(jnp.matmul(down, up))

    return {path: changed(path, value) for path, value in base.items()}


def factor_forms(forms: Mapping[str, Form]) -> dict[str, Form]:
    """Return what each factor is to an optimizer, by what the parameters of the model are."""
    return {path + end: form for path, form in forms.items() if form.kind == "matrix" for end in (DOWN, UP)}


def factor_sizes(base: Parameters, forms: Mapping[str, Form], sizes: Sizes | None, rank: Int[Array, ""]) -> Sizes:
    """Return true rows and columns of each factor, as `sizes` has them of parameters, or these have of themselves."""
    found: dict[str, tuple[int | Int[Array, ""], int | Int[Array, ""]]] = {}
    for path, form in forms.items():
        if form.kind == "matrix":
            shape = base[path].shape
            rows, columns = (shape[form.rows], shape[form.columns]) if sizes is None else sizes.get(path, (0, 0))
            own = jnp.minimum(rank, jnp.minimum(rows, columns))
            found[path + DOWN], found[path + UP] = (rows, own), (own, columns)
    return found


def _with(sizes: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """Return sizes with another one on an axis."""
    place = axis % len(sizes)
    return (*sizes[:place], size, *sizes[place + 1 :])
