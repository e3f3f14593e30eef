"""Write train.csv, valid.csv and test.csv: made-up requests to a help desk, and what each of them is about now.

Most requests tell of something that was so before as well, in the same words: only their place tells the class.
"""

import argparse
import csv
import random
from pathlib import Path

OPENINGS = ["hello", "good morning", "hi there", "to whom it may concern", "once again", "please help"]
SUBJECTS = ["my account", "the invoice of May", "order 1723", "the newsletter", "my parcel", "the card"]
ABOUT = {
    "payment": ["was charged twice", "shows a wrong amount", "has not been refunded", "needs another bank"],
    "delivery": ["has not arrived yet", "came to the wrong street", "was left in the rain", "is a week late"],
    "login": ["asks for a password that I lost", "is locked", "says that I am unknown", "will not let me in"],
    "praise": ["was handled so well", "made me happy", "came sooner than I hoped", "is better than ever"],
    "leaving": ["should be closed", "is to be cancelled", "is no longer wanted", "must end this month"],
}
SHARES = {"payment": 8, "delivery": 10, "login": 6, "praise": 3, "leaving": 2}
BEFORE = ["last year it", "in spring it", "before that it", "at first it"]
NOW = ["now it", "today it", "since Monday it", "this time it"]
CLOSINGS = ["thank you", "kind regards", "please answer soon", "I wait for your call", "many thanks in advance"]


def request(generator: random.Random) -> tuple[str, str]:
    """Return a request and its class: what is so now, whatever was so before."""
    label = generator.choices(list(SHARES), weights=list(SHARES.values()))[0]
    opening, subject, closing = (generator.choice(words) for words in (OPENINGS, SUBJECTS, CLOSINGS))
    told = [f"{generator.choice(NOW)} {generator.choice(ABOUT[label])}"]
    if generator.random() < 0.8:
        told.append(f"{generator.choice(BEFORE)} {generator.choice(ABOUT[generator.choice(list(ABOUT))])}")
    generator.shuffle(told)
    return f"{opening}, {subject}: {', '.join(told)}; {closing} {generator.randint(100, 999)}", label


def main() -> None:
    """Write the files beside this one, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000, help="rows of train; a tenth as many of valid and of test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    generator = random.Random(0)
    sizes = {"train": options.rows, "valid": options.rows // 10, "test": options.rows // 10}
    rows: dict[str, str] = {}
    while len(rows) < sum(sizes.values()):
        text, label = request(generator)
        rows[text] = label
    left = iter(rows.items())
    options.out.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        with (options.out / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            writer.writerows(next(left) for _ in range(size))


if __name__ == "__main__":
    main()
