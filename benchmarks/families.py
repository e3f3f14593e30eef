"""Each family of models at its default recipe, trained alone for two minutes of one core: test error on pronunciations.

Processor seconds are counted, and compilation is not, so that other work on the machine changes little. Each cell is
one line of `benchmarks/results/families.jsonl`; a cell that is there is not run again. `python -m benchmarks.families
--data DIR [--only NAME]` fills the table and prints it; DIR holds a folder with `train.tsv`, `valid.tsv` and `test.tsv`
for each set.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measurement import load
from benchmarks.searches import commit
from search_spaces import attention, decoders, embeddings, encoders, outputs
from search_spaces.dials import to_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.tokenizers import Whitespace

SETS = ("fre", "ice")
SECONDS, COOLING = 120.0, 0.25
RESULTS = Path(__file__).parent / "results" / "families.jsonl"


def _transformers(positions: embeddings.Positions, **dials: Any) -> Seq2Seq:
    return Seq2Seq(
        encoders.Transformer(positions=positions, **dials), decoders.Transformer(positions=positions, **dials)
    )


LSTM = decoders.Recurrent("lstm")


def _attending(kind: attention.Attention) -> Seq2Seq:
    return Seq2Seq(encoders.Recurrent("lstm"), decoders.Recurrent("lstm", attention=kind))


FAMILIES: dict[str, Seq2Seq] = {
    "GRU → GRU, additive (the default)": Seq2Seq(),
    "LSTM → LSTM, additive": Seq2Seq(encoders.Recurrent("lstm"), LSTM),
    "minGRU, 2 layers → LSTM, additive": Seq2Seq(encoders.Recurrent("mingru", num_layers=2, residual=True), LSTM),
    "convolution → LSTM, additive": Seq2Seq(encoders.Convolution(), LSTM),
    "Transformer → LSTM, additive": Seq2Seq(encoders.Transformer(), LSTM),
    "LSTM → LSTM, general": _attending(attention.General()),
    "LSTM → LSTM, multi-head": _attending(attention.MultiHead()),
    "LSTM → LSTM, local": _attending(attention.Local()),
    "LSTM → LSTM, additive, copying": Seq2Seq(encoders.Recurrent("lstm"), LSTM, outputs.PointerGenerator()),
    "LSTM → Transformer": Seq2Seq(encoders.Recurrent("lstm"), decoders.Transformer()),
    "LSTM → simple recurrent": Seq2Seq(encoders.Recurrent("lstm"), decoders.SimpleRecurrent()),
    "Transformer → Transformer, sinusoidal": _transformers(embeddings.Sinusoidal()),
    "Transformer → Transformer, rotary": _transformers(embeddings.Rotary()),
    "Transformer → Transformer, relative bias": _transformers(embeddings.RelativeBias()),
    "convolution → simple recurrent": Seq2Seq(encoders.Convolution(), decoders.SimpleRecurrent()),
}


@dataclass(frozen=True)
class Words:
    """Files of one set: characters on one side, phones between spaces on the other."""

    folder: Path

    @property
    def mapping(self) -> dict[str, Any]:
        """The `[data]` part of a task document."""
        files = {name: str((self.folder / f"{name}.tsv").absolute()) for name in ("train", "valid", "test")}
        return {**files, "source_tokens": "characters", "target_tokens": "whitespace"}


class ProcessorSeconds:
    """Counts the processor seconds of training, compilation apart, and says when they are over."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.spent = 0.0
        self.since: float | None = None

    def report(self, beat: Any) -> None:
        """Take note of what the trainer does."""
        now = time.process_time()
        if self.since is not None:
            self.spent += now - self.since
        self.since = now if beat.phase == "training" else None

    def over(self) -> bool:
        """Say whether the seconds are spent."""
        running = 0.0 if self.since is None else time.process_time() - self.since
        return self.spent + running > self.limit


def main() -> None:
    """Fill the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the sets")
    parser.add_argument("--only", metavar="NAME", help="families whose name holds this alone")
    parser.add_argument("--quick", action="store_true", help="three seconds a cell, kept nowhere")
    options = parser.parse_args()
    for name, family in missing(options.only or "", quick=options.quick):
        cell = measured(options.data / name, family, 3.0 if options.quick else SECONDS)
        line = json.dumps({"set": name, "family": family, **cell})
        if options.quick:
            print(line)
            continue
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    print(*table(), sep="\n")


def missing(part: str, *, quick: bool) -> Iterator[tuple[str, str]]:
    """Yield set and family of each cell that has no line yet, looked up anew each time."""
    for family in FAMILIES:
        for name in SETS:
            there = {(cell["set"], cell["family"]) for cell in cells()}
            if part in family and (quick or (name, family) not in there):
                yield name, family


def cells() -> list[dict[str, Any]]:
    """Return the lines that there are."""
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()] if RESULTS.exists() else []


def measured(folder: Path, family: str, seconds: float) -> dict[str, Any]:
    """Train one family on one set; return the cell."""
    os.environ |= {"NPROC": "1", "PJRT_NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    from automl.data.table import build_table
    from automl.segments import Evaluation, Segment, Workload
    from automl.tasks.document import TaskDocument
    from automl.training.trainer import Trainer

    before, configuration = load(), to_dict(_tokenized(FAMILIES[family]))
    with tempfile.TemporaryDirectory() as scratch:
        document = TaskDocument.model_validate({"name": "words", "data": Words(folder).mapping})
        table = build_table(document, Path(scratch))
        trainer = Trainer(Workload(str(table.folder), scratch, ("sequence_error_rate",), threads=1))
        clock = ProcessorSeconds((1 - COOLING) * seconds)
        whole = trainer.run(Segment(0, configuration, seed=0), clock.report, clock.over)
        rate, cooling = whole.tokens / clock.spent, ProcessorSeconds(1.2 * COOLING * seconds)
        planned = whole.tokens + int(rate * COOLING * seconds)
        further = Segment(0, configuration, 0, whole.step, whole.checkpoint, planned, cooldown=True)
        end = trainer.run(further, cooling.report, cooling.over)
        test = trainer.run(Evaluation(0, configuration, end.checkpoint), clock.report, lambda: False)
    return {
        "test": test.scores["sequence_error_rate"],
        "valid": end.scores["sequence_error_rate"],
        "parameters": end.parameters,
        "steps": end.step,
        "passes": round(end.tokens / table.said_tokens("train"), 1),
        "seconds": seconds,
        "commit": commit(),
        "load": before,
    }


def _tokenized(configuration: Seq2Seq) -> Seq2Seq:
    return type(configuration)(**{**configuration.__dict__, "target_tokens": Whitespace()})


def table() -> Iterator[str]:
    """Yield the lines of the table, the best on average first."""
    found = {(cell["set"], cell["family"]): cell for cell in cells()}
    yield f"{len(found)} of {len(FAMILIES) * len(SETS)} cells"
    yield "| family | parameters | " + " | ".join(f"{name}, test (valid)" for name in SETS) + " |"
    yield "|---|---|" + "---|" * len(SETS)
    for family in sorted(FAMILIES, key=lambda f: sum(found.get((s, f), {"test": 1.0})["test"] for s in SETS)):
        own = [found.get((name, family)) for name in SETS]
        size = next((f"{cell['parameters'] / 1e6:.2f} M" for cell in own if cell), "–")
        shown = [f"{cell['test']:.1%} ({cell['valid']:.1%})" if cell else "–" for cell in own]
        yield f"| {family} | {size} | {' | '.join(shown)} |"


if __name__ == "__main__":
    main()
