"""Greedy decoding of the same models by `automl.load`, StableHLO, ONNX Runtime, CTranslate2 (float32, int8), PyTorch.

Weights are drawn, so that every source is decoded to the most tokens. Each runtime is a process of its own, held to as
many cores as it has threads, that decodes the same sources when asked, all in turn; medians of tokens a second and of
tokens a second of the processor; then some sources one by one, in milliseconds each. Runtimes that are not installed
are left out; `AUTOML_PYTORCH` names the interpreter of an environment that has PyTorch.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from automl.bundle import Bundle, write_bundle
from automl.data.tokenizers import EOS, PAD, UNK, Tokenizer
from automl.description import members_of
from automl.export.exporting import _child
from automl.export.forms import FORMS
from benchmarks.measurement import Result, Side, arguments, interleaved, load, median
from search_spaces import attention, decoders, encoders
from search_spaces.dials import to_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.tokenizers import Characters

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PEER = Path(__file__).parent / "peers" / "pytorch_decode.py"
MOST, SOURCES, RUNS, ALONE = 32, 1024, 7, 16
RUNTIMES = (*FORMS, "pytorch")
SIZES, KINDS, THREADS = (64, 128), ("transformer", "recurrent"), (1, 2)


class Case(NamedTuple):
    """A model, how many sources it decodes, on how many threads."""

    kind: str
    size: int
    sources: int
    threads: int


def main() -> None:
    """Measure every runtime on a Transformer and a recurrent model of each size, or be one of them."""
    if len(sys.argv) > 1 and sys.argv[1] == "--side":
        answer(sys.argv[2], Path(sys.argv[3]))
        return
    options = arguments(__doc__ or "")
    before = load()
    cases = [Case(kind, size, SOURCES, threads) for threads in THREADS for kind in KINDS for size in SIZES]
    runs = 1 if options.quick else RUNS
    measured: dict[str, Any] = {"runs": runs, "sources": 16 if options.quick else SOURCES}
    ratios: dict[str, float] = {}
    for case in [cases[0]._replace(sources=16)] if options.quick else cases:
        name = f"{case.kind}_{case.size}_{case.threads}_thread"
        rates = measure(case, runs)
        measured |= {f"{name}_{key}": rate for key, rate in rates.items()}
        ratios |= {f"{name}_{key}": ratio for key, ratio in ratios_of(rates).items()}
    goals = {f"transformer_{size}_1_thread_ctranslate2_processor": ">= 1" for size in SIZES}
    Result("decode", ratios, measured, goals, (before, load())).show(as_json=options.json)


def measure(case: Case, runs: int) -> dict[str, float]:
    """Return the tokens a second of each runtime, and of its processor; all but int8 have to say the same.

    Raises:
        RuntimeError: One says something else.
    """
    bundle, generator = model(case.kind, case.size), np.random.default_rng(0)
    sources = [generator.integers(UNK + 1, UNK + 27, size).tolist() for size in generator.integers(4, 25, case.sources)]
    with tempfile.TemporaryDirectory(prefix="decode-") as scratch:
        commands = sides(case, bundle, Path(scratch))
        processes = {name: Side(command, case.threads, json.dumps(sources)) for name, command in commands.items()}
        try:
            times = {
                how: interleaved({name: partial(seconds, process, how) for name, process in processes.items()}, runs)
                for how in ("together", "alone")
            }
        finally:
            for process in processes.values():
                process.close()
    said = {name: json.loads(process.first) for name, process in processes.items()}
    for name, tokens in said.items():
        if "int8" not in name and tokens != said["bundle"]:
            raise RuntimeError(f"{name} says something else than the model")
    return rates_of(said, times)


Times = Mapping[str, list[tuple[float, float]]]


def rates_of(said: Mapping[str, list[list[int]]], times: Mapping[str, Times]) -> dict[str, float]:
    """Return tokens a second by name, tokens a second of the processor, and milliseconds of a source alone."""
    together = {
        f"{name}{kind}_tokens_a_second": sum(map(len, said[name]))
        / median(each[place] for each in times["together"][name])
        for name in said
        for place, kind in enumerate(("", "_processor"))
    }
    alone = {
        f"{name}_alone_milliseconds": 1000 * median(elapsed for elapsed, _ in times["alone"][name]) / ALONE
        for name in said
    }
    return together | alone


def ratios_of(rates: Mapping[str, float]) -> dict[str, float]:
    """Return how many times as fast as each other runtime the model itself is, by what was measured."""
    own = {name.removeprefix("bundle"): rate for name, rate in rates.items() if name.startswith("bundle")}
    ratios = {}
    for kind, rate in own.items():
        others = {name.removesuffix(kind): its for name, its in rates.items() if name.endswith(kind)}
        slower = kind.endswith("milliseconds")
        label = kind.removesuffix("_tokens_a_second").removesuffix("_milliseconds")
        ratios |= {
            f"{name}{label}": its / rate if slower else rate / its
            for name, its in others.items()
            if name in RUNTIMES and name != "bundle"
        }
    return ratios


def seconds(side: Side, how: str) -> tuple[float, float]:
    """Let a side decode; return the seconds that it took, and those of its processor."""
    elapsed, processor = map(float, side.ask(how).split())
    return elapsed, processor


def answer(name: str, folder: Path) -> None:
    """Be a runtime: decode the sources of the first line of standard input, and again for each further line."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        runtime, sources = FORMS[name].open(folder), json.loads(sys.stdin.readline())
        print(json.dumps(runtime(sources).tokens), file=out, flush=True)
        for how in sys.stdin:
            begun = time.perf_counter(), time.process_time()
            for part in [[source] for source in sources[:ALONE]] if how.strip() == "alone" else [sources]:
                runtime(part)
            ended = time.perf_counter(), time.process_time()
            print(*(end - begin for begin, end in zip(begun, ended, strict=True)), file=out, flush=True)


def sides(case: Case, bundle: Bundle, scratch: Path) -> dict[str, list[str]]:
    """Return the command of every runtime that can run the model here."""
    ours = [sys.executable, "-m", "benchmarks.decode", "--side"]
    commands = {name: [*ours, name, str(folder)] for name, folder in written(bundle, scratch).items()}
    if peer := os.environ.get("AUTOML_PYTORCH"):
        np.savez(scratch / "weights.npz", **bundle.weights)
        commands["pytorch"] = [peer, str(PEER), case.kind, str(scratch / "weights.npz"), str(MOST), str(case.threads)]
    return commands


def written(bundle: Bundle, scratch: Path) -> dict[str, Path]:
    """Write every form that the model can have and that can be run here; return the folders."""
    folders = {"bundle": scratch / "bundle"}
    write_bundle(bundle, folders["bundle"])
    for name, form in FORMS.items():
        installed = all(find_spec(package) for package in form.packages)
        if name not in ("bundle", "int8") and installed and form.refusal(members_of(bundle.config)) is None:
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
