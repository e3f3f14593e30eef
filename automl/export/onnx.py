"""ONNX: decoding from source tokens to target tokens in one file, which ONNX Runtime runs without JAX."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl.bundle import Bundle
from automl.export.arrays import ROWS, as_array, spoken
from automl.export.runtimes import Form, Runtime, Spoken, in_batches
from search_spaces.seq2seq import Seq2Seq
from search_spaces.stems import Tokens

FILE = "model.onnx"


def write(bundle: Bundle, folder: Path) -> None:
    """Write one file, for any number of sources of any length."""
    import jax
    import jax.numpy as jnp
    from jax import export
    from jax2onnx import to_onnx

    from automl.export.traced import decoding_program

    program = decoding_program(bundle)
    rows, length = export.symbolic_shape("rows, length")
    struct: Any = jax.ShapeDtypeStruct
    source, weights = struct((rows, length), jnp.int32), jax.tree.map(jnp.asarray, dict(bundle.weights))
    # The converter replaces functions of JAX's by its own while it traces; what is traced before does not see them.
    with _in_other_words():
        traced = jax.make_jaxpr(lambda tokens: program(weights, tokens))(source)
    to_onnx(
        lambda tokens: tuple(jax.core.eval_jaxpr(traced.jaxpr, traced.consts, tokens)),
        [source],
        return_mode="file",
        output_path=str(folder / FILE),
        input_names=["source"],
        output_names=["tokens", "scores"],
    )


@contextmanager
def _in_other_words() -> Iterator[None]:
    """Let models say what the converter does not know by what it does: scans from the end, in parallel, padding."""
    import jax
    import jax.numpy as jnp

    lax: Any = jax.lax
    numpy: Any = jnp
    scan, associative_scan, pad = lax.scan, lax.associative_scan, numpy.pad

    def flipped(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.flip(leaf, axis=0), tree)

    def forwards(step: Any, carry: Any, items: Any, *, reverse: bool = False, **options: Any) -> Any:
        if not reverse:
            return scan(step, carry, items, **options)
        last, found = scan(step, carry, flipped(items), **options)
        return last, flipped(found)

    def one_by_one(join: Any, items: Any, *, axis: int, reverse: bool = False) -> Any:
        """Scan from `(1, 0)`, which joins with a first item to that item: so for linear recurrences."""
        moved = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, axis, 0), items)
        first = (jnp.ones_like(moved[0][0]), jnp.zeros_like(moved[1][0]))

        def step(before: Any, item: Any) -> Any:
            joined = join(before, item)
            return joined, joined

        found = forwards(step, first, moved, reverse=reverse)[1]
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, axis), found)

    def beside(x: Any, widths: Any) -> Any:
        for axis, (before, after) in enumerate(widths):
            sides = [jnp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in (before, after)]
            parts = [part for part in (sides[0], x, sides[1]) if not (part is not x and part.shape[axis] == 0)]
            x = jnp.concatenate(parts, axis=axis) if len(parts) > 1 else x
        return x

    lax.scan, lax.associative_scan, numpy.pad = forwards, one_by_one, beside
    try:
        yield
    finally:
        lax.scan, lax.associative_scan, numpy.pad = scan, associative_scan, pad


def open_folder(folder: Path) -> Runtime:
    """Return the runtime of a folder that `write` made."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])

    def run(sources: list[list[int]]) -> Spoken:
        return spoken(*session.run(None, {"source": as_array(sources)}))

    return lambda sources: in_batches(sources, run, ROWS)


def refusal(members: Sequence[Seq2Seq]) -> str | None:
    """Return what a model has that the converter was not tried with, or nothing."""
    return None if isinstance(members[0].stem, Tokens) else "it reads images"


ONNX = Form(("jax2onnx", "onnxruntime"), refusal, write, open_folder)
