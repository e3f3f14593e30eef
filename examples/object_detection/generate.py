"""Write train, valid and test as json files with images in .npz: made-up scenes, and where their shapes lie."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 32
SHAPES = ("disc", "square", "cross")


def scene(generator: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[int, list[int]]]]:
    """Return a noisy ground with one or two shapes that do not touch, and class and box of each."""
    image = generator.uniform(0, 50, size=(SIDE, SIDE))
    down, right = np.indices((SIDE, SIDE))
    objects: list[tuple[int, list[int]]] = []
    for half in range(generator.integers(1, 3)):
        size, kind = int(generator.integers(7, 12)), int(generator.integers(len(SHAPES)))
        upper, left = (
            int(generator.integers(0, SIDE - size)),
            int(generator.integers(0, SIDE // 2 - size)) + half * SIDE // 2,
        )
        middle = (size - 1) / 2
        away = np.abs(np.stack([down - upper - middle, right - left - middle]))
        inside = away.max(axis=0) <= middle
        shown = (np.hypot(*away) <= middle + 0.3, inside, inside & (away.min(axis=0) <= 1))[kind]
        image[shown] = generator.uniform(120, 250)
        objects.append((kind, [left, upper, size, size]))
    return np.asarray(image, np.uint8), objects


def main() -> None:
    """Write the files beside this one, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000, help="images of train; a tenth as many of valid and of test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, rows in {"train": options.rows, "valid": options.rows // 10, "test": options.rows // 10}.items():
        scenes = [scene(generator) for _ in range(rows)]
        boxes = [(index, *shown) for index, (_, objects) in enumerate(scenes) for shown in objects]
        document: dict[str, Any] = {
            "images": [{"id": index, "width": SIDE, "height": SIDE} for index in range(rows)],
            "categories": [{"id": number, "name": shape} for number, shape in enumerate(SHAPES)],
            "annotations": [
                {"id": number, "image_id": image, "category_id": kind, "bbox": box}
                for number, (image, kind, box) in enumerate(boxes, start=1)
            ],
        }
        (options.out / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        np.savez_compressed(options.out / f"{name}.npz", images=np.stack([image for image, _ in scenes]))


if __name__ == "__main__":
    main()
