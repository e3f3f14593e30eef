"""What XLA allots to the programs that train, decode and score."""

from typing import Any

from automl.data.batching import Bucket
from automl.decoding.answers import Penalty, Request
from automl.decoding.programs import beam_program, greedy_program, score_program
from automl.models.parameters import declared
from automl.training.arrays import DeviceSplit
from automl.training.augmentation import Variation
from automl.training.executables import model_of, train_program
from automl.training.optimizers import OPTIMIZERS, Moments
from automl.training.schedules import Pace
from automl.training.signature import signature
from automl.training.steps import Chunk, TrainState
from search_spaces.augmentation import Unchanged
from search_spaces.costs import Extent
from search_spaces.seq2seq import Seq2Seq
from tests.search_spaces.unrolled import NOISE, PACE, RECIPE, floats, ints


def decoding_memory(configuration: Seq2Seq, extent: Extent, beam: int) -> int:
    """Bytes between the arguments and the outputs of decoding."""
    model, inputs = decoded(configuration, extent)
    if beam == 1:
        return temporary(greedy_program(model, extent.target), *inputs, Request(ints(extent.rows)))
    penalty = Penalty(floats(), ints())
    return temporary(beam_program(model, extent.target, beam), *inputs, Request(ints(extent.rows)), penalty)


def scoring_memory(configuration: Seq2Seq, extent: Extent) -> int:
    """Bytes between the arguments and the outputs of scoring known targets."""
    model, inputs = decoded(configuration, extent)
    return temporary(score_program(model), *inputs, *[ints(extent.rows, extent.target)] * 2)


def decoded(configuration: Seq2Seq, extent: Extent) -> tuple[Any, tuple[Any, ...]]:
    """A model, and what all of its programs take first."""
    model = model_of(signature(configuration, extent.source_vocabulary, extent.target_vocabulary, extent.rows))
    return model, (parameters_of(model), ints(extent.rows, extent.source), ints(extent.source_vocabulary))


def temporary(program: Any, *inputs: Any) -> int:
    """Bytes of all that a program makes on its way."""
    return int(program.lower(*inputs).compile().memory_analysis().temp_size_in_bytes)


def parameters_of(model: Any) -> dict[str, Any]:
    """Stand-ins for the parameters of a model."""
    return {name: floats(*param.get_value().shape) for name, param in declared(model).items()}


def peak_memory(configuration: Seq2Seq, extent: Extent) -> int:
    """Bytes of arguments, outputs and all in between, for steps on batches of an extent out of next to no data."""
    vocabularies = extent.source_vocabulary, extent.target_vocabulary
    static = signature(configuration, *vocabularies, extent.rows)
    parameters = parameters_of(model_of(static))
    state = TrainState(parameters, Moments(parameters, parameters), parameters, ints())
    rows: list[Any] = [ints(2 * extent.rows)] * 2
    split = DeviceSplit(ints(64), *rows, ints(64), *rows, ints(extent.source_vocabulary), floats(2 * extent.rows))
    steps = type(PACE.matrices)(*[floats(1)] * 6)
    chunk = Chunk(
        ints(1, extent.rows),
        ints(2),
        floats(1),
        Pace(steps, steps, floats(1)),
        ints(),
        NOISE,
        RECIPE,
        Variation.of(Unchanged()),
    )
    program = train_program(static, Bucket(extent.source, extent.target), OPTIMIZERS)
    found: Any = program.lower(state, split, chunk).compile().memory_analysis()  # type: ignore[attr-defined]
    kept: int = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return kept + int(found.temp_size_in_bytes)
