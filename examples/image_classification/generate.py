"""Write train.npz, valid.npz and test.npz: made-up drawings of a few shapes, and what each of them shows."""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 16
SHAPES = ("disc", "ring", "square", "frame", "cross", "bar")


def drawing(generator: np.random.Generator, shape: str) -> NDArray[np.uint8]:
    """Return a shape somewhere on a noisy ground, in some size and brightness."""
    down, right = np.indices((SIDE, SIDE))
    middle, reach = generator.uniform(5, SIDE - 6, size=2), generator.uniform(3, 5)
    away = np.abs(np.stack([down - middle[0], right - middle[1]]))
    round_, square = np.hypot(*away), away.max(axis=0)
    inside = {
        "disc": round_ <= reach,
        "ring": (round_ <= reach) & (round_ > reach - 1.6),
        "square": square <= reach - 0.5,
        "frame": (square <= reach - 0.5) & (square > reach - 2),
        "cross": (away.min(axis=0) < 0.9) & (square <= reach),
        "bar": (away[0] < 0.9) & (away[1] <= reach),
    }[shape]
    ground = generator.uniform(0, 60, size=(SIDE, SIDE))
    return np.asarray(np.where(inside, generator.uniform(110, 250), ground), np.uint8)


def main() -> None:
    """Write the files beside this one, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000, help="images of train; a tenth as many of valid and of test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, rows in {"train": options.rows, "valid": options.rows // 10, "test": options.rows // 10}.items():
        labels = generator.choice(SHAPES, size=rows)
        images = np.stack([drawing(generator, str(label)) for label in labels])
        np.savez_compressed(options.out / f"{name}.npz", images=images, labels=labels)


if __name__ == "__main__":
    main()
