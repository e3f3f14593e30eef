"""Hugging Face datasets with tokenizers: a file of pairs into token ids on disk. Runs in an environment of its own."""

import json
import resource
import sys
import time
from pathlib import Path

import datasets
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

datasets.disable_progress_bars()
NAMES = ("source", "target")


def main(file: str, folder: str, vocabulary: int) -> None:
    """Read, learn byte pairs of each side, encode, write; print seconds and the most memory."""
    begun, cpu = time.monotonic(), time.process_time()
    cache = str(Path(folder) / "cache")
    read = datasets.load_dataset("csv", data_files=file, sep="\t", names=list(NAMES), quoting=3, cache_dir=cache)
    pairs = read["train"]
    tokenizers = {name: learn(pairs, name, vocabulary) for name in NAMES}

    def encode(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {f"{n}_ids": [e.ids for e in t.encode_batch_fast(rows[n])] for n, t in tokenizers.items()}

    pairs.map(encode, batched=True, batch_size=10_000, remove_columns=list(NAMES)).save_to_disk(f"{folder}/ids")
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - begun,
                "cpu": time.process_time() - cpu,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            }
        )
    )


def learn(pairs: datasets.Dataset, name: str, vocabulary: int) -> Tokenizer:
    """Learn byte pairs from at most 200,000 texts, as the other side does."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    step = -(-len(pairs) // 200_000)
    made.train_from_iterator((pairs[i : i + 1000][name] for i in range(0, len(pairs), 1000 * step)), trainer)
    return made


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
