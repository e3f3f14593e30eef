"""Write train.tsv, valid.tsv and test.tsv: made-up reports of a workshop, and what each of them comes to."""

import argparse
import random
from pathlib import Path

MACHINES = ["the press", "the lathe", "the saw", "the crane", "the oven", "the pump", "the mill", "the drill"]
FAULTS = ["lost oil", "ran hot", "stood still", "shook badly", "made a noise", "blew a fuse"]
PARTS = ["a bearing", "a belt", "a valve", "the motor", "a cable", "the filter"]
PEOPLE = ["Ada", "Emil", "Nora", "Otto", "Ida", "Hugo", "Lena", "Paul"]
CHATTER = [
    "The morning was quiet and the yard was wet.",
    "Two pallets of timber came by lorry and were put under the roof.",
    "The canteen had soup, and most of us ate outside.",
    "A visitor from the town asked about the opening hours.",
    "The gate was painted last week and still smells of it.",
    "Nobody was hurt, and the lights stayed on all day.",
    "The clock in the hall is five minutes late again.",
]


def report(generator: random.Random) -> tuple[str, str]:
    """Return a report whose two sentences of weight stand among others, and its summary."""
    machine, fault, part = (generator.choice(words) for words in (MACHINES, FAULTS, PARTS))
    person, hours = generator.choice(PEOPLE), generator.randint(2, 9)
    happened = f"After lunch {machine} {fault}, and we had to stop it."
    mended = f"{person} replaced {part} in {hours} hours."
    others = generator.sample(CHATTER, generator.randint(2, 4))
    place = generator.randint(0, len(others))
    text = " ".join([*others[:place], happened, mended, *others[place:]])
    return text, f"{machine} {fault}; {person} replaced {part}"


def main() -> None:
    """Write the files beside this one, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000, help="rows of train; a tenth as many of valid and of test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    generator = random.Random(0)
    sizes = {"train": options.rows, "valid": options.rows // 10, "test": options.rows // 10}
    pairs: dict[str, str] = {}
    while len(pairs) < sum(sizes.values()):
        text, summary = report(generator)
        pairs[text] = summary
    left = iter(pairs.items())
    options.out.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        lines = ["\t".join(next(left)) + "\n" for _ in range(size)]
        (options.out / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
