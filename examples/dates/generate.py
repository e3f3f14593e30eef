"""Dates as ten locales write them, paired with ISO 8601: python examples/dates/generate.py [--rows N] [--out DIR]."""

import argparse
import random
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from babel.dates import format_date

LOCALES = ("en_US", "en_GB", "de", "fr", "es", "it", "pt", "nl", "sv", "pl")
FORMATS = ("medium", "long", "full", "d MMMM y", "d. MMMM y", "MMMM d, y", "EEE, d MMM y", "y MMMM dd")
UNSEEN = 5

# One century, so that a two-digit year is one year; American short dates put the month first, where the others put
# the day, and would leave 10/5 with two readings.
FIRST, LAST = date(1950, 1, 1), date(2049, 12, 31)
SHORT_LOCALES = LOCALES[1:]


def write_date(day: date, generator: random.Random) -> str:
    """Write a date in a random locale and format, half of the time in lower case."""
    locale = generator.choice(LOCALES)
    formats = (*FORMATS, "short") if locale in SHORT_LOCALES else FORMATS
    text = format_date(day, format=generator.choice(formats), locale=locale)
    return text.lower() if generator.random() < 0.5 else text


def generate(rows: int, seed: int) -> dict[str, list[tuple[str, str]]]:
    """Draw different dates for `train`, a tenth as many for `valid`, a fifth for `test`, and five for `unseen`."""
    generator = random.Random(seed)
    sizes = {"train": rows, "valid": max(rows // 10, 1), "test": max(rows // 5, 1), "unseen": UNSEEN}
    offsets = generator.sample(range((LAST - FIRST).days + 1), sum(sizes.values()))
    days = (FIRST + timedelta(days=offset) for offset in offsets)
    return {
        name: [(write_date(day, generator), day.isoformat()) for day in islice(days, size)]
        for name, size in sizes.items()
    }


def write_splits(splits: dict[str, list[tuple[str, str]]], folder: Path) -> None:
    """Write train.tsv, valid.tsv, test.tsv, and unseen.txt with sources only."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in splits.items():
        if name == "unseen":
            lines = [source for source, _ in pairs]
        else:
            lines = [f"{source}\t{target}" for source, target in pairs]
        path = folder / f"{name}.{'txt' if name == 'unseen' else 'tsv'}"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main() -> None:
    """Write the example's files beside this script, or into another folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of train.tsv (at most 25,000)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="another seed draws other dates")
    arguments = parser.parse_args()
    if not 10 <= arguments.rows <= 25_000:
        parser.error("--rows must be between 10 and 25,000")
    write_splits(generate(arguments.rows, arguments.seed), arguments.out)


if __name__ == "__main__":
    main()
