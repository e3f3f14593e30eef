"""Inference: a bundle that predicts from raw input."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from automl.bundle import Bundle, read_bundle
from automl.data.batching import Bucket
from automl.data.sources import Columns, check_file
from automl.data.splits import group
from automl.data.table import Split
from automl.data.tokenizers import Tokenizer, copies, normalise
from automl.decoding.answers import decode
from automl.errors import InputError
from automl.metrics import Likelihood, LikelihoodMetric, TextMetric, metric, signatures
from automl.models.parameters import declared
from automl.segments import ProgramFolder
from automl.tasks import TASKS
from automl.training.evaluation import flat, forced_sums
from automl.training.executables import decoder, model_of, on_device
from automl.training.programs import Programs
from automl.training.signature import Signature, signature
from search_spaces import seq2seq
from search_spaces.dials import SpaceError, from_dict

BATCH_SIZES = (1, 8, 64)


class Model:
    """A winner, loaded; safe to use from several threads."""

    def __init__(self, bundle: Bundle, programs: ProgramFolder | None = None) -> None:
        """Build the model of a bundle.

        Args:
            bundle: What was exported.
            programs: Where compiled programs are kept between processes.

        Raises:
            InputError: Its configuration or its weights are not of a model that we know.
        """
        self.config = bundle.config
        self.metrics = bundle.metrics
        self._source = Tokenizer.from_json(bundle.source_tokenizer)
        self._target = Tokenizer.from_json(bundle.target_tokenizer)
        self._copies = copies(self._source, self._target)
        static = self._static = _signature(bundle)
        self._programs = Programs(programs)
        self._parameters = jax.device_put(dict(bundle.weights))
        self._longest = int(bundle.config["max_source_length"])
        self._program = decoder(self._programs, static, int(bundle.config["decoding"]["max_length"]))

    def predict(self, sources: Iterable[str]) -> list[str]:
        """Return one output for each source, decoded as the bundle says.

        Raises:
            TypeError: `sources` is one text, whose characters would be taken for sources.
            InputError: A source is far longer than any that the model was trained on.
        """
        if isinstance(sources, str):
            raise TypeError("predict takes a list of sources; put the one source in a list")
        encoded = self._encoded(sources)
        if (longest := max(map(len, encoded), default=0)) > self._longest:
            raise InputError(f"a source has {longest:,} tokens; this model reads {self._longest:,} at most; split it")
        return self._outputs(encoded)

    def evaluate(self, data: Path, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """Score a file that has the task's columns.

        Args:
            data: A file as `[data] test` names one.
            metrics: Names of metrics; those of the search when none are named.

        Returns:
            `metrics` (name → value), `signatures` of those that packages compute, and `rows`, the number of distinct
            sources.

        Raises:
            InputError: The file or a metric is wrong.
        """
        chosen = [metric(name) for name in metrics or self.config["metrics"]]
        columns = self.config["data"]
        target = columns["target"]
        form = TASKS[self.config["kind"]].form
        check_file(data, form.suffixes)
        pairs = form.read(data, Columns(columns["source"], tuple(target) if target is not None else None))
        references = group(pairs)[0].references
        encoded, acceptable = self._encoded(references), list(references.values())
        scores: dict[str, float] = {}
        if of_texts := [m for m in chosen if isinstance(m, TextMetric)]:
            outputs = self._outputs(encoded)
            scores |= {m.name: m.function(outputs, acceptable, self._target.tokens) for m in of_texts}
        if of_likelihood := [m for m in chosen if isinstance(m, LikelihoodMetric)]:
            found = self._likelihood(encoded, [texts[0] for texts in acceptable])
            scores |= {m.name: m.function(found) for m in of_likelihood}
        return {
            "metrics": {m.name: scores[m.name] for m in chosen},
            "signatures": signatures(scores, acceptable),
            "rows": len(acceptable),
        }

    def _likelihood(self, sources: Sequence[Sequence[int]], texts: Sequence[str]) -> Likelihood:
        """Return what the model makes of one text for each source, of any length."""
        targets = self._target.encode_batch(texts)
        split = Split(*flat(sources), *flat(targets), rows=len(texts))
        bucket = Bucket(max(1, *map(len, sources)), max(map(len, targets)) + 1)
        device = on_device(split, self._copies)
        sums = forced_sums(self._programs, self._static, self._parameters, device, split.rows, bucket)
        loss, tokens = (np.asarray(each)[: split.rows].sum() for each in (sums.loss, sums.tokens))
        return Likelihood(float(loss), int(tokens), sum(len(text) + 1 for text in texts))

    def _encoded(self, sources: Iterable[str]) -> list[list[int]]:
        return self._source.encode_batch([normalise(source) for source in sources])

    def _outputs(self, encoded: Sequence[Sequence[int]]) -> list[str]:
        size = next((size for size in BATCH_SIZES if size >= len(encoded)), BATCH_SIZES[-1])
        answers = decode(self._program, self._parameters, encoded, self._copies, size, self._longest)
        return self._target.decode_batch([answer.tokens for answer in answers])


def load(folder: str | Path) -> Model:
    """Load a bundle; neither the task document nor the database is needed.

    Raises:
        InputError: The folder is not a whole bundle.
    """
    return Model(read_bundle(Path(folder)))


def _signature(bundle: Bundle) -> Signature:
    try:
        configuration = from_dict(seq2seq.Seq2Seq, bundle.config["configuration"])
        sizes = bundle.config["vocabulary"]
        static = signature(configuration, int(sizes["source"]), int(sizes["target"]), 0)
        model = model_of(static)
    except (SpaceError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"config.json: describes no model that this version knows ({error})") from error
    shapes = {name: tuple(param.get_value().shape) for name, param in declared(model).items()}
    if shapes != {name: tuple(value.shape) for name, value in bundle.weights.items()}:
        raise InputError("model.safetensors: holds other parameters than config.json describes; export the model again")
    return static
