"""Write train.txt, valid.txt and test.txt: made-up notes of the weather, one a line, for a model to go on with."""

import argparse
import random
from pathlib import Path

PLACES = ["the harbour", "the north field", "the village", "the pass", "the island", "the valley", "the old mill"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SKIES = {
    "clear": ["the sun dried the roads", "we saw the hills from afar", "the night was cold"],
    "cloudy": ["it stayed dry until dusk", "the light was grey and even", "the wind turned to the west"],
    "stormy": ["two boats came back early", "a tree fell across the road", "the ferry did not run"],
    "foggy": ["the bells rang every hour", "nobody saw the church tower", "the bus was late"],
}


def note(generator: random.Random) -> str:
    """Return a note whose second half fits the sky of the first."""
    sky = generator.choice(list(SKIES))
    degrees, place, day = generator.randint(-9, 31), generator.choice(PLACES), generator.choice(DAYS)
    return f"On {day} it was {sky} at {place}, {degrees} degrees at noon; {generator.choice(SKIES[sky])}."


def main() -> None:
    """Write the files beside this one, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000, help="rows of train; a tenth as many of valid and of test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    generator = random.Random(0)
    sizes = {"train": options.rows, "valid": options.rows // 10, "test": options.rows // 10}
    notes: dict[str, None] = {}
    while len(notes) < sum(sizes.values()):
        notes[note(generator)] = None
    left = iter(notes)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        lines = [f"{next(left)}\n" for _ in range(size)]
        (options.out / f"{name}.txt").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
