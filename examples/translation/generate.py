"""Write train.tsv, valid.tsv and test.tsv: made-up English sentences and their German, with cases and word order."""

import argparse
import random
from pathlib import Path

# English noun, German noun, gender
NOUNS = [
    *[("dog", "Hund", "m"), ("table", "Tisch", "m"), ("tree", "Baum", "m"), ("man", "Mann", "m")],
    *[("river", "Fluss", "m"), ("cat", "Katze", "f"), ("lamp", "Lampe", "f"), ("woman", "Frau", "f")],
    *[("street", "Straße", "f"), ("town", "Stadt", "f"), ("child", "Kind", "n"), ("house", "Haus", "n")],
    *[("book", "Buch", "n"), ("horse", "Pferd", "n"), ("picture", "Bild", "n"), ("ship", "Schiff", "n")],
    *[("bird", "Vogel", "m"), ("key", "Schlüssel", "m"), ("garden", "Garten", "m"), ("teacher", "Lehrer", "m")],
    *[("clock", "Uhr", "f"), ("bridge", "Brücke", "f"), ("flower", "Blume", "f"), ("school", "Schule", "f")],
    *[("window", "Fenster", "n"), ("bread", "Brot", "n"), ("girl", "Mädchen", "n"), ("letter", "Zeichen", "n")],
]
VERBS = [
    ("sees", "sieht"),
    ("hears", "hört"),
    ("finds", "findet"),
    ("seeks", "sucht"),
    ("paints", "malt"),
    ("needs", "braucht"),
    ("likes", "mag"),
]
ADJECTIVES = [
    ("small", "klein"),
    ("old", "alt"),
    ("new", "neu"),
    ("red", "rot"),
    ("quiet", "still"),
    ("clean", "rein"),
    ("long", "lang"),
]
WHEN = [("today", "heute"), ("often", "oft"), ("now", "jetzt"), ("in the evening", "am Abend")]
NOMINATIVE, ACCUSATIVE = {"m": "der", "f": "die", "n": "das"}, {"m": "den", "f": "die", "n": "das"}


def sentence(generator: random.Random) -> tuple[str, str]:
    """Return a sentence and its translation; where a time stands first, German puts the verb before the subject."""
    (who, wer, own), (what, was, other) = generator.sample(NOUNS, 2)
    verb, tut = generator.choice(VERBS)
    like, wie = generator.choice(ADJECTIVES)
    when, wann = generator.choice(WHEN)
    subject, object_ = f"{NOMINATIVE[own]} {wer}", f"{ACCUSATIVE[other]} {wie}e{'n' if other == 'm' else ''} {was}"
    english = f"the {who} {verb} the {like} {what}"
    if generator.random() < 0.5:
        return f"{when} {english}", f"{wann} {tut} {subject} {object_}"
    return f"{english} {when}", f"{subject} {tut} {object_} {wann}"


def main() -> None:
    """Write the files beside this one, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6_000, help="rows of train; a tenth as many of valid and of test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    generator = random.Random(0)
    sizes = {"train": options.rows, "valid": options.rows // 10, "test": options.rows // 10}
    pairs: dict[str, str] = {}
    while len(pairs) < sum(sizes.values()):
        source, target = sentence(generator)
        pairs[source] = target
    left = iter(pairs.items())
    options.out.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        lines = ["\t".join(next(left)) + "\n" for _ in range(size)]
        (options.out / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
