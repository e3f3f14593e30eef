"""A task of images, from its document to a prediction."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import automl
from automl.bundle import read_bundle
from automl.data.corpus import build_corpus
from automl.data.pixels import Canvas, Pixels
from automl.data.table import build_table
from automl.errors import InputError
from automl.export.exporting import Sample, export
from automl.inference import Model
from automl.planning import space_of
from automl.searches import Options, run_search
from automl.segments import ProgramFolder, Workload
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.training.trainer import Trainer
from tests.automl.command_line import CACHE, KEY
from tests.automl.command_line import here as command
from tests.automl.training.trials import After, onward, segment, trained

PROGRAMS = ProgramFolder(str(CACHE / "programs"), KEY)
SIDE = 8
SPACE = {
    "preset": "tiny",
    "encoder": "Transformer",
    "decoder": "Recurrent",
    "stem": "Patches",
    "side": 4,
    "num_layers": 1,
    "optimizer": "AdamW",
    "learning_rate": 0.008,
}


def drawn(count: int, seed: int) -> tuple[Any, Any]:
    """Noise whose upper half is bright, or whose lower half is."""
    draw = np.random.default_rng(seed)
    images, labels = draw.integers(0, 90, (count, SIDE, SIDE), np.uint8), draw.choice(["high", "low"], count)
    for image, label in zip(images, labels, strict=True):
        image[: SIDE // 2] += np.uint8(150 * (label == "high"))
        image[SIDE // 2 :] += np.uint8(150 * (label == "low"))
    return images, labels


def task(folder: Path, **changes: Any) -> TaskDocument:
    for seed, (name, count) in enumerate({"train": 256, "valid": 40, "test": 40}.items()):
        images, labels = drawn(count, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    data = {name: f"{name}.npz" for name in ("train", "valid", "test")}
    return document_from_mapping(
        {"name": "halves", "kind": "image_classification", "data": data, "space": SPACE, **changes}, folder
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("halves")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_CACHE", str(CACHE))
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        options = Options(f"sqlite:///{folder / 'automl.db'}", "inline", folder / "model")
        document = task(folder, budget={"trials": 1, "target": "accuracy>=0.97"})
        yield run_search(document, options), folder


def test_a_search_hands_back_a_model_that_tells_images_of_any_kind_apart(found: Any) -> None:
    search, folder = found
    assert search.best.test_scores["accuracy"] > 0.8
    model = automl.load(folder / "model")
    images, labels = drawn(20, 9)
    paths = []
    for index, image in enumerate(images):
        paths.append(str(folder / f"{index}.png"))
        Pillow.fromarray(image).save(paths[-1])
    said = model.predict(images)
    assert model.predict(paths) == said
    assert np.mean(np.array(said) == labels) > 0.7
    assert model.evaluate(folder / "test.npz")["metrics"] == pytest.approx(search.best.test_scores)
    with pytest.raises(InputError, match="no such image"):
        model.predict([str(folder / "gone.png")])
    with pytest.raises(InputError, match="places of images"):
        model.attention(paths[0])


def test_the_command_line_takes_a_path_a_line(found: Any) -> None:
    _, folder = found
    Pillow.fromarray(drawn(1, 5)[0][0]).save(folder / "one.png")
    said = command(folder, "predict", "model", text="one.png\none.png\n")
    assert said.code == 0, said.err
    assert set(said.out.split()) <= {"high", "low"}
    assert len(said.out.splitlines()) == 2


def test_forms_that_read_texts_alone_are_refused_by_name(found: Any) -> None:
    _, folder = found
    for name in ("onnx", "ctranslate2"):
        with pytest.raises(InputError, match="it reads images"):
            export(read_bundle(folder / "model"), folder / "out", [name], Sample([], []))


@pytest.mark.parametrize("wanted", [{}, {"encoder": "Transformer", "batch_tokens": 1024}])
def test_images_begin_with_convolutions_and_small_steps_unless_the_user_says_otherwise(
    tmp_path: Path, wanted: dict[str, Any]
) -> None:
    default = space_of(task(tmp_path, space=wanted)).default()
    assert type(default.encoder).__name__ == wanted.get("encoder", "Convolution")
    assert default.batch_tokens == wanted.get("batch_tokens", 256)


def test_an_interrupted_trial_of_varied_images_ends_as_an_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    document = task(tmp_path)
    table = build_table(document, tmp_path / "cache")
    configuration = space_of(document, build_corpus(document, tmp_path / "cache")).default()
    varied = dataclasses.replace(configuration.augmentation, shift=0.1, zoom=0.2, flip=True, erasing=0.3)
    of_images = dataclasses.replace(configuration, augmentation=varied)
    trainer = Trainer(Workload(str(table.folder), str(tmp_path / "kept"), ("accuracy",), cache=PROGRAMS))
    whole = trained(trainer, segment(configuration=of_images, to_tokens=6_000))
    first = trained(trainer, segment(configuration=of_images, to_tokens=6_000), stop=After(1))
    assert 0 < first.step < whole.step
    rest = trained(trainer, onward(first, configuration=of_images, to_tokens=6_000))
    assert (rest.step, rest.checkpoint) == (whole.step, whole.checkpoint)


def test_an_image_of_test_is_taken_out_of_train_and_a_class_that_train_lacks_is_said(tmp_path: Path) -> None:
    document = task(tmp_path)
    images, labels = drawn(40, 0)
    np.savez(tmp_path / "test.npz", images=np.concatenate([images, drawn(5, 7)[0]]), labels=[*labels, *["new"] * 5])
    np.savez(
        tmp_path / "train.npz", images=np.concatenate([drawn(60, 3)[0], images]), labels=[*drawn(60, 3)[1], *labels]
    )
    said = " ".join(build_corpus(document, tmp_path / "cache").notices)
    assert "40 rows dropped: source also in valid or test" in said
    assert "5 of 45 rows are of classes that train lacks (the first on row 41)" in said


def test_a_bundle_of_another_size_than_its_tokenizer_is_refused(found: Any) -> None:
    _, folder = found
    bundle = read_bundle(folder / "model")
    with pytest.raises(InputError, match="images of another size"):
        Model(dataclasses.replace(bundle, source_tokenizer=Pixels(Canvas(16, 8, 1)).to_json()))


def test_the_service_asks_a_model_of_images_for_files_and_takes_no_text_for_a_path(found: Any, tmp_path: Path) -> None:
    _, folder = found
    Pillow.fromarray(np.zeros((9, 7), np.uint8)).save(tmp_path / "image 1", "PNG")
    command = [sys.executable, "-m", "automl.server.oracle", str(folder / "model"), str(os.getpid())]
    asked = [{"sources": ["/etc/passwd"]}, {"images": [str(tmp_path / "image 1")]}, {"look": "/etc/passwd"}]
    said = subprocess.run(
        command, input="".join(f"{json.dumps(each)}\n" for each in asked), capture_output=True, text=True, check=False
    )
    ready, refused, seen, looked = map(json.loads, said.stdout.splitlines())
    assert ready == {"ready": True}
    assert refused == looked == {"wrong": "this model reads images"}
    assert (len(seen["outputs"]), seen["sizes"]) == (1, [[7, 9]])
