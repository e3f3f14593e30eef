"""A file of pairs into token tables: seconds, pairs a second and the most memory, against Hugging Face datasets.

Both sides read the file, learn byte pairs of each side from at most 200,000 texts and write the ids. Ours finds
duplicates, holds valid and test out, and hashes what it wrote besides. The peer runs in the environment whose Python
`AUTOML_DATASETS` names (with the packages datasets and tokenizers); without it, our side runs alone.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measurement import Result, arguments, interleaved, load, median

PEER = Path(__file__).parent / "peers" / "datasets_tokens.py"
PAIRS, QUICK_PAIRS = 100_000, 2_000
VOCABULARY = 4_000
RUNS = 2


def main() -> None:
    """Measure, or be our side of a measurement."""
    if len(sys.argv) > 1 and sys.argv[1] == "--side":
        print(json.dumps(tables(Path(sys.argv[2]), Path(sys.argv[3]))))
        return
    options = arguments(__doc__ or "")
    before, peer = load(), os.environ.get("AUTOML_DATASETS")
    pairs = QUICK_PAIRS if options.quick else PAIRS
    with tempfile.TemporaryDirectory(prefix="data-") as scratch:
        file = write(Path(scratch) / "pairs.tsv", pairs)
        ours = [sys.executable, "-m", "benchmarks.data", "--side", str(file)]
        commands = {"automl": ours} | ({"datasets": [peer, str(PEER), str(file)]} if peer else {})
        found = interleaved(
            {name: lambda name=name: run(commands[name]) for name in commands}, 1 if options.quick else RUNS
        )
    middle = {f"{name}_{what}": median(each[what] for each in runs) for name, runs in found.items() for what in runs[0]}
    Result(
        name="data",
        ratios={
            what: middle[f"datasets_{what}"] / middle[f"automl_{what}"] for what in ("seconds", "cpu", "peak") if peer
        },
        measured={**middle, **{f"{name}_pairs_a_second": pairs / middle[f"{name}_seconds"] for name in found}},
        goals={"seconds": ">= 1", "peak": ">= 1"},
        load=(before, load()),
    ).show(as_json=options.json)


def write(path: Path, pairs: int) -> Path:
    """Write pairs of made-up sentences of some 50,000 different words."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(50_000)]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(pairs):
            chosen = [words[int(draw.paretovariate(0.6)) % len(words)] for _ in range(draw.randint(4, 16))]
            file.write(f"{' '.join(chosen)}\t{' '.join(reversed(chosen))}\n")
    return path


def run(command: list[Any]) -> dict[str, float]:
    """Run a side in a process and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="data-") as scratch:
        last = () if "--side" in command else (str(VOCABULARY),)
        done = subprocess.run([*command, scratch, *last], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def tables(file: Path, folder: Path) -> dict[str, float]:
    """Build the table of a file, and open it again as a second search does."""
    from automl.data.corpus import build_corpus
    from automl.data.table import tokenized
    from automl.tasks.document import document_from_mapping
    from search_spaces.tokenizers import BytePairs

    mapping = {"name": "pairs", "data": {"train": str(file), "source_tokens": "subwords", "target_tokens": "subwords"}}
    document = document_from_mapping(mapping, Path())
    tokens = (BytePairs(VOCABULARY), BytePairs(VOCABULARY))
    begun, cpu = time.monotonic(), time.process_time()
    tokenized(build_corpus(document, folder), tokens)
    first = {"seconds": time.monotonic() - begun, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    begun = time.monotonic()
    tokenized(build_corpus(document, folder), tokens)
    return {**first, "peak": peak, "again": time.monotonic() - begun}


if __name__ == "__main__":
    main()
