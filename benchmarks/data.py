"""A file of pairs into token tables: pairs a second and the most memory, against Hugging Face datasets with tokenizers.

Both sides read the file, learn a vocabulary for each side and write the ids: characters, words between white space, or
byte pairs, learnt from at most 200,000 texts. Ours finds duplicates, holds valid and test out, and hashes what it wrote
besides; then it opens the same data again, as a second search does. The peer runs in the environment whose Python
`AUTOML_DATASETS` names (with the packages datasets and tokenizers); without it, our side runs alone.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measurement import Result, arguments, interleaved, load, median

PEER = Path(__file__).parent / "peers" / "datasets_tokens.py"
QUICK_PAIRS, PAIRS, MOST_PAIRS = 2_000, 1_000_000, 10_000_000
VOCABULARY = 4_000
KINDS = ("subwords", "whitespace", "characters")
WORDS = 500
"""Different words of made-up sentences whose tokens are words; else there are 50,000."""


def main() -> None:
    """Measure, or be our side of a measurement."""
    if len(sys.argv) > 1 and sys.argv[1] == "--side":
        print(json.dumps(tables(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
        return
    options = arguments(__doc__ or "", full="10 million pairs instead of one, subwords alone")
    before = load()
    pairs = QUICK_PAIRS if options.quick else MOST_PAIRS if options.full else PAIRS
    measured: dict[str, float] = {}
    for kind in KINDS[:1] if options.full else KINDS:
        measured |= compared(kind, pairs, options.data)
    ratios = {
        name.replace("datasets_", ""): value / measured[name.replace("datasets_", "automl_")]
        for name, value in measured.items()
        if name.startswith("datasets_")
    }
    goals = {f"{kind}_{what}": ">= 1" for kind in KINDS for what in ("seconds", "peak")}
    Result("data", ratios, {"pairs": pairs, **measured}, goals, (before, load())).show(as_json=options.json)


def compared(kind: str, pairs: int, folder: Path | None) -> dict[str, float]:
    """Measure both sides on made-up pairs, in turn."""
    peer = os.environ.get("AUTOML_DATASETS")
    with tempfile.TemporaryDirectory(prefix="data-", dir=folder) as scratch:
        file = write(Path(scratch) / "pairs.tsv", pairs, WORDS if kind == "whitespace" else 50_000)
        ours = [sys.executable, "-m", "benchmarks.data", "--side", kind, str(file)]
        commands = {"automl": ours} | ({"datasets": [peer, str(PEER), kind, str(file)]} if peer else {})
        found = interleaved({name: lambda name=name: run(commands[name], folder) for name in commands}, 1)
    return {
        f"{name}_{kind}_{what}": median(each[what] for each in runs) for name, runs in found.items() for what in runs[0]
    }


def write(path: Path, pairs: int, different: int) -> Path:
    """Write pairs of made-up sentences of so many different words."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(different)]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(pairs):
            chosen = [words[int(draw.paretovariate(0.6)) % len(words)] for _ in range(draw.randint(4, 16))]
            file.write(f"{' '.join(chosen)}\t{' '.join(reversed(chosen))}\n")
    return path


def run(command: list[Any], folder: Path | None) -> dict[str, float]:
    """Run a side in a process and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="data-", dir=folder) as scratch:
        last = () if "--side" in command else (str(VOCABULARY),)
        done = subprocess.run([*command, scratch, *last], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def tables(kind: str, file: Path | str, folder: Path) -> dict[str, float]:
    """Build the table of a file, and open it again as a second search does."""
    from automl.data.corpus import build_corpus
    from automl.data.table import tokenized
    from automl.tasks.document import document_from_mapping
    from search_spaces.tokenizers import BytePairs, Characters, Whitespace

    mapping = {"name": "pairs", "data": {"train": str(file), "source_tokens": kind, "target_tokens": kind}}
    document = document_from_mapping(mapping, Path())
    own = {"subwords": BytePairs(VOCABULARY), "whitespace": Whitespace(), "characters": Characters()}[kind]
    begun, cpu = time.monotonic(), time.process_time()
    tokenized(build_corpus(document, folder), (own, own))
    first = {"seconds": time.monotonic() - begun, "cpu": time.process_time() - cpu, "peak": peak()}
    begun = time.monotonic()
    tokenized(build_corpus(document, folder), (own, own))
    return {**first, "again": time.monotonic() - begun}


def peak() -> float:
    """Return the most memory that this process has had, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    main()
