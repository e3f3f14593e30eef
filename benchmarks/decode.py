"""Greedy decoding of the same models by `automl.load`, StableHLO, ONNX Runtime and CTranslate2 in float32 and int8.

Weights are drawn, so that every source is decoded to the most tokens; tokens a second of the second of two runs over
the same sources, each runtime in a process of its own, in turn; medians. Runtimes that are not installed are left out.
"""

import json
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from automl.bundle import Bundle, write_bundle
from automl.data.tokenizers import EOS, PAD, UNK, Tokenizer
from automl.description import described
from automl.export.exporting import Sample, _child, _run
from automl.export.forms import FORMS
from benchmarks.measurement import Result, arguments, interleaved, load, median
from search_spaces import attention, decoders, encoders
from search_spaces.dials import to_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.tokenizers import Characters

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MOST, SOURCES, RUNS = 32, 256, 5
SIZES, KINDS = (64, 128), ("transformer", "recurrent")


def main() -> None:
    """Measure every runtime on a Transformer and a recurrent model of each size."""
    options = arguments(__doc__ or "")
    before = load()
    sizes, sources, runs = (SIZES[:1], 16, 1) if options.quick else (SIZES, SOURCES, RUNS)
    ratios: dict[str, float] = {}
    measured: dict[str, Any] = {"runs": runs, "sources": sources}
    for size in sizes:
        for kind in KINDS[: 1 if options.quick else 2]:
            rates = measure(model(kind, size), sources, runs)
            measured |= {f"{kind}_{size}_{name}_tokens_a_second": rate for name, rate in rates.items()}
            ratios |= {f"{kind}_{size}_{name}": rates["bundle"] / rates[name] for name in rates if name != "bundle"}
    goals = {f"transformer_{size}_ctranslate2": ">= 1" for size in sizes}
    Result("decode", ratios, measured, goals, (before, load())).show(as_json=options.json)


def measure(bundle: Bundle, sources: int, runs: int) -> dict[str, float]:
    """Return the tokens a second of each runtime; all but int8 have to say the same.

    Raises:
        RuntimeError: One says something else.
    """
    generator = np.random.default_rng(0)
    encoded = [generator.integers(UNK + 1, UNK + 27, size).tolist() for size in generator.integers(4, 25, sources)]
    sample = Sample(encoded, [["a"]] * sources)
    with tempfile.TemporaryDirectory(prefix="decode-") as scratch:
        folders = written(bundle, Path(scratch))
        sides = {name: lambda n=name, f=folder: _run(n, f, sample) for name, folder in folders.items()}
        found = interleaved(sides, runs)
    own = found["bundle"][0]["tokens"]
    for name, results in found.items():
        if "int8" not in name and results[0]["tokens"] != own:
            raise RuntimeError(f"{name} says something else than the model")
    said = {name: sum(map(len, results[0]["tokens"])) for name, results in found.items()}
    return {name: said[name] / median(each["seconds"] for each in results) for name, results in found.items()}


def written(bundle: Bundle, scratch: Path) -> dict[str, Path]:
    """Write every form that the model can have and that can be run here; return the folders."""
    folders = {"bundle": scratch / "bundle"}
    write_bundle(bundle, folders["bundle"])
    for name, form in FORMS.items():
        installed = all(find_spec(package) for package in form.packages)
        if name not in ("bundle", "int8") and installed and form.refusal(described(bundle.config)) is None:
            folders[name] = scratch / name
            folders[name].mkdir()
            _child("write", name, folders[name], folders["bundle"])
    return folders


def model(kind: str, size: int) -> Bundle:
    """Return a model of two layers on each side, or one of a recurrent network, whose outputs hardly ever end."""
    from automl.models.parameters import initialise
    from automl.models.seq2seq import Seq2Seq as Module

    heads = attention.MultiHead(4)
    pairs = {
        "transformer": (encoders.Transformer(size, 2, 4, heads), decoders.Transformer(size, 2, 4, heads)),
        "recurrent": (encoders.Recurrent("lstm", size, 1, True), decoders.Recurrent("lstm", size, 1)),
    }
    configuration = replace(Seq2Seq(), encoder=pairs[kind][0], decoder=pairs[kind][1])
    tokenizer = Tokenizer.learn(Characters(), [LETTERS])
    weights = initialise(Module(configuration, tokenizer.size, tokenizer.size), 0)
    bias = next(name for name in weights if name.endswith("output.bias"))
    weights[bias][[PAD, EOS, UNK]] = -30
    config = {
        "kind": "sequence_to_sequence",
        "configuration": json.loads(json.dumps(to_dict(configuration))),
        "vocabulary": {"source": tokenizer.size, "target": tokenizer.size},
        "decoding": {"method": "greedy", "max_length": MOST},
        "max_source_length": MOST,
        "data": {"source": None, "target": None},
        "metrics": ["exact_match"],
    }
    return Bundle(config, weights, *[tokenizer.to_json()] * 2, {}, "")


if __name__ == "__main__":
    main()
