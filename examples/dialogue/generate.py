"""Write train.jsonl, valid.jsonl and test.jsonl: made-up conversations at a counter, each a list of turns."""

import argparse
import json
import random
from pathlib import Path

NAMES = ["Ada", "Emil", "Nora", "Otto", "Ida", "Hugo", "Lena", "Paul", "Mia", "Jon", "Eva", "Tom"]
TOWNS = ["Bergen", "Lisbon", "Prague", "Vienna", "Oslo", "Turin", "Ghent", "Porto"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ASKS = ["I want to go to {town}.", "A ticket to {town}, please.", "How do I get to {town}?"]


def conversation(generator: random.Random) -> list[str]:
    """Return a conversation whose last answer needs what was said two turns before."""
    name, town, day = (generator.choice(words) for words in (NAMES, TOWNS, DAYS))
    hour = generator.randint(6, 20)
    return [
        generator.choice(ASKS).format(town=town),
        f"There is a train to {town} every morning. Which day?",
        f"On {day}, after {hour}.",
        f"On {day} at {hour + 1}. May I have your name?",
        f"{name}.",
        f"Thank you, {name}: {town}, {day} at {hour + 1}.",
    ]


def main() -> None:
    """Write the files beside this one, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_500, help="rows of train; a tenth as many of valid and of test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    generator = random.Random(0)
    sizes = {"train": options.rows, "valid": options.rows // 10, "test": options.rows // 10}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        lines = [json.dumps({"turns": conversation(generator)}) + "\n" for _ in range(size)]
        (options.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
