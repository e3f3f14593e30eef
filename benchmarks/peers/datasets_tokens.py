"""Hugging Face datasets with tokenizers: a file of pairs into token ids on disk. Runs in an environment of its own."""

import json
import sys
import time
from pathlib import Path

import datasets
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

datasets.disable_progress_bars()
NAMES = ("source", "target")


def main(kind: str, file: str, folder: str, vocabulary: int) -> None:
    """Read, learn a vocabulary of each side, encode, write; print seconds and the most memory."""
    begun, cpu = time.monotonic(), time.process_time()
    cache = str(Path(folder) / "cache")
    read = datasets.load_dataset("csv", data_files=file, sep="\t", names=list(NAMES), quoting=3, cache_dir=cache)
    pairs = read["train"]
    tokenizers = {name: learn(kind, pairs, name, vocabulary) for name in NAMES}

    def encode(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {f"{n}_ids": [e.ids for e in t.encode_batch_fast(rows[n])] for n, t in tokenizers.items()}

    pairs.map(encode, batched=True, batch_size=10_000, remove_columns=list(NAMES)).save_to_disk(f"{folder}/ids")
    status = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 2**10
    print(json.dumps({"seconds": time.monotonic() - begun, "cpu": time.process_time() - cpu, "peak": peak}))


def learn(kind: str, pairs: datasets.Dataset, name: str, vocabulary: int) -> Tokenizer:
    """Learn from at most 200,000 texts, as the other side does for byte pairs."""
    made, trainer = {"subwords": byte_pairs, "whitespace": words, "characters": characters}[kind](vocabulary)
    step = -(-len(pairs) // 200_000)
    made.train_from_iterator((pairs[i : i + 1000][name] for i in range(0, len(pairs), 1000 * step)), trainer)
    return made


def byte_pairs(vocabulary: int) -> tuple[Tokenizer, trainers.Trainer]:
    """Return what learns byte pairs."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return made, trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, show_progress=False, initial_alphabet=alphabet
    )


def words(vocabulary: int) -> tuple[Tokenizer, trainers.Trainer]:
    """Return what learns the words between white space, at most 32,000 as the other side does."""
    del vocabulary
    made = Tokenizer(models.WordLevel(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made, trainers.WordLevelTrainer(vocab_size=32_000, show_progress=False, special_tokens=["<unk>"])


def characters(vocabulary: int) -> tuple[Tokenizer, trainers.Trainer]:
    """Return what learns characters."""
    made, trainer = words(vocabulary)
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return made, trainer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
