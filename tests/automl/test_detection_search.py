"""A task of boxes, from its document to a prediction."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import automl
from automl.boxes import read_text, scaled
from automl.data.table import build_table
from automl.decoding.generation import Generation
from automl.errors import InputError
from automl.planning import space_of
from automl.searches import Options, run_search
from automl.segments import ProgramFolder, Workload
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.training.trainer import Trainer
from search_spaces.decoding import Beam, Sampling
from tests.automl.command_line import CACHE, KEY
from tests.automl.training.trials import After, onward, segment, trained

PROGRAMS = ProgramFolder(str(CACHE / "programs"), KEY)
SIDE = 16
SPACE = {
    "preset": "tiny",
    "encoder": "Transformer",
    "decoder": "Transformer",
    "stem": "Patches",
    "side": 4,
    "num_layers": 1,
    "bins": 32,
    "flip": True,
    "optimizer": "AdamW",
}


def scenes(folder: Path, name: str, count: int, seed: int) -> None:
    """Write images with a bright square each, of one class where it is large and of another where it is small."""
    draw = np.random.default_rng(seed)
    images, annotations = draw.integers(0, 60, (count, SIDE, SIDE), np.uint8), []
    for index, image in enumerate(images):
        size = int(draw.choice([4, 8]))
        left, upper = (int(draw.integers(0, SIDE - size + 1)) for _ in range(2))
        image[upper : upper + size, left : left + size] = 220
        box = {"id": index, "image_id": index, "category_id": size, "bbox": [left, upper, size, size]}
        annotations.append(box)
    document = {
        "images": [{"id": index} for index in range(count)],
        "annotations": annotations,
        "categories": [{"id": 4, "name": "small"}, {"id": 8, "name": "large"}],
    }
    (folder / f"{name}.json").write_text(json.dumps(document))
    np.savez(folder / f"{name}.npz", images=images)


def task(folder: Path, **changes: Any) -> TaskDocument:
    for seed, (name, count) in enumerate({"train": 256, "valid": 20, "test": 20}.items()):
        scenes(folder, name, count, seed)
    data = {name: f"{name}.json" for name in ("train", "valid", "test")}
    return document_from_mapping(
        {"name": "squares", "kind": "object_detection", "data": data, "space": SPACE, **changes}, folder
    )


def test_a_search_hands_back_a_model_that_says_boxes_in_the_pixels_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(CACHE))
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    options = Options(f"sqlite:///{tmp_path / 'automl.db'}", "inline", tmp_path / "model")
    goal = {"trials": 1, "target": "mean_average_precision_50>=0.01"}
    search = run_search(task(tmp_path, budget=goal), options)
    assert search.best is not None
    model = automl.load(tmp_path / "model")
    found = model.evaluate(tmp_path / "test.json")
    assert found["metrics"] == pytest.approx(search.best.test_scores)
    assert found["signatures"]["mean_average_precision_50"].startswith("pycocotools")
    with pytest.raises(InputError, match="metric: exact_match does not score boxes; use mean_average_precision_50 or"):
        model.evaluate(tmp_path / "test.json", ["exact_match"])
    images = np.load(tmp_path / "test.npz")["images"]
    larger = np.kron(images, np.ones((1, 2, 2), np.uint8))
    for size, said in ((SIDE, model.predict(images)), (2 * SIDE, model.predict(larger))):
        boxes = [box for text in said for box in read_text(text)]
        assert boxes
        assert {box.label for box in boxes} <= {"small", "large"}
        assert all(0 < box.score <= 1 for box in boxes if box.score is not None)
        assert max(max(box.left + box.width, box.upper + box.height) for box in boxes) <= size
    said = model.predict(larger, Beam(2))
    assert max(box.left + box.width for text in said for box in read_text(text)) > SIDE
    assert [best.output for best, *_ in model.candidates(larger, 1, Beam(2))] == said
    how = Generation(Sampling(temperature=1.0))
    assert "".join(model.stream(larger[0], how)) == model.generate(larger[0], how)[0]
    answers = [read_text(text) for text in model.predict(images[:8])]
    coldly = [model.generate(image, Generation(Sampling(temperature=0.0)))[0] for image in images[:8]]
    bare = [[box._replace(score=None, others=()) for box in boxes] for boxes in answers]
    assert list(map(read_text, coldly)) == bare
    named = [box for boxes in answers for box in boxes if box.others]
    assert named
    assert all(box.score >= score >= 0.01 for box in named for _, score in box.others if box.score is not None)
    assert all(box.label not in dict(box.others) for box in named)
    smaller = [scaled(text, 0.5) for text in said]
    assert model.score(larger, said) == pytest.approx(model.score(images, smaller), rel=0.1)


@pytest.mark.parametrize("noise", [False, True])
def test_an_interrupted_trial_of_boxes_ends_as_an_uninterrupted_one_to_the_bit(tmp_path: Path, noise: bool) -> None:
    document = task(tmp_path, space={**SPACE, "noise_objects": noise})
    table = build_table(document, tmp_path / "cache")
    configuration = space_of(document, table.corpus).default()
    trainer = Trainer(
        Workload(str(table.folder), str(tmp_path / "kept"), ("mean_average_precision_50",), cache=PROGRAMS)
    )
    whole = trained(trainer, segment(configuration=configuration, to_tokens=16_000))
    first = trained(trainer, segment(configuration=configuration, to_tokens=16_000), stop=After(1))
    assert 0 < first.step < whole.step
    rest = trained(trainer, onward(first, configuration=configuration, to_tokens=16_000))
    assert (rest.step, rest.checkpoint) == (whole.step, whole.checkpoint)
