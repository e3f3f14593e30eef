"""StableHLO: decoding as a portable program of XLA for processors, NVIDIA GPUs and TPUs, its weights apart.

It takes any number of sources of any length. The scan of minGRU has no program for all lengths: it gets one for each
of a few, to which sources are padded. Images have one length.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automl.bundle import Bundle
from automl.description import Description, described
from automl.export.arrays import ROWS, as_array, spoken
from automl.export.runtimes import Form, Runtime, Spoken, in_batches
from search_spaces import encoders
from search_spaces.seq2seq import Seq2Seq
from search_spaces.stems import Tokens

PLATFORMS = ("cpu", "cuda", "tpu")
ANY, SUFFIX, WEIGHTS = "any", ".stablehlo", "weights.safetensors"


def write(bundle: Bundle, folder: Path) -> None:
    """Write a program, or one for each length of sources, and the weights."""
    import jax
    import jax.numpy as jnp
    from jax import export
    from safetensors.numpy import save_file

    from automl.export.traced import decoding_program, shapes

    struct: Any = jax.ShapeDtypeStruct
    program = jax.jit(decoding_program(bundle))
    for name, length in _lengths(described(bundle.config)).items():
        rows, free = export.symbolic_shape("rows, length")
        source = struct((rows, length or free), jnp.int32)
        exported = export.export(program, platforms=PLATFORMS)(shapes(bundle), source)
        (folder / f"{name}{SUFFIX}").write_bytes(exported.serialize())
    save_file(dict(bundle.weights), folder / WEIGHTS)


def _lengths(description: Description) -> dict[str, int | None]:
    from automl.decoding.answers import LENGTHS, allotted

    stem, members = description.configuration.stem, (description.configuration, *description.others)
    if not isinstance(stem, Tokens):
        values = stem.height * stem.width * stem.channels
        return {str(values): values}
    recurrent = [each.encoder for each in members if isinstance(each.encoder, encoders.Recurrent)]
    if all(encoder.cell != "mingru" for encoder in recurrent):
        return {ANY: None}
    most = allotted(description.longest)
    return {str(length): length for length in (*(size for size in LENGTHS if size < most), most)}


def open_folder(folder: Path) -> Runtime:
    """Return the runtime of a folder that `write` made."""
    import jax
    from jax import export
    from safetensors.numpy import load_file

    programs = {file.stem: export.deserialize(bytearray(file.read_bytes())) for file in folder.glob(f"*{SUFFIX}")}
    weights = jax.device_put(load_file(folder / WEIGHTS))
    calls = {name: jax.jit(program.call) for name, program in programs.items()}

    def run(sources: list[list[int]]) -> Spoken:
        longest = max(map(len, sources))
        fitting = [int(name) for name in calls if name != ANY and int(name) >= longest]
        call: Any = calls[ANY] if ANY in calls else calls[str(min(fitting))]
        return spoken(*call(weights, as_array(sources, None if ANY in calls else min(fitting))))

    return lambda sources: in_batches(sources, run, ROWS)


def refusal(_: Sequence[Seq2Seq]) -> str | None:
    """Every model can have this form."""
    return None


STABLEHLO = Form(("jax", "flatbuffers"), refusal, write, open_folder)
