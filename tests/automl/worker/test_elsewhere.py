"""Workers that have neither the files nor the cache of whoever has queued a search."""

import json
import shutil

import numpy as np
from PIL import Image

from automl.bundle import write_bundle
from automl.searches import Options
from automl.submissions import submit
from automl.tasks.document import document_from_mapping, with_budget
from automl.tasks.draft import document_for
from storage.trials import list_trials
from tests.automl.bundles import LETTERS, Drawn
from tests.automl.worker.queued_search import WORDS


def elsewhere(place, monkeypatch):
    """Let workers have nothing but the database and the checkpoints."""
    monkeypatch.setenv("AUTOML_CACHE", str(place.folder / "elsewhere"))
    monkeypatch.setenv("AUTOML_CHECKPOINTS", str(place.checkpoints))
    monkeypatch.chdir("/")


def test_a_text_to_pretrain_on_goes_to_a_worker_elsewhere_and_is_had_again(place, monkeypatch):
    (place.folder / "text.txt").write_text(WORDS.replace("\t", " "))
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "pretraining": {"unlabelled": "text.txt"}}
    for trials in (2, 3):
        document = document_from_mapping({**fields, "budget": {"trials": trials}}, place.folder)
        submit(document, Options(storage=place.url, checkpoints=place.checkpoints))
    (place.folder / "text.txt").unlink()
    elsewhere(place, monkeypatch)
    place.work()
    assert place.search().state == "finished", place.said
    assert place.search("numbers.denoising").state == "finished"
    assert len(place.read(list_trials, place.search().id)) == 3


def test_a_bundle_to_begin_from_goes_to_a_worker_elsewhere(place, monkeypatch):
    write_bundle(Drawn().bundle(), place.folder / "model.v2")
    (place.folder / "train.tsv").write_text("".join(f"{a}{b}\t{b}{a}\n" for a in LETTERS for b in LETTERS))
    fields = {"name": "numbers", "data": {"train": "train.tsv"}, "pretraining": {"from": "model.v2"}}
    submit(document_from_mapping({**fields, "budget": {"trials": 1}}, place.folder), Options(storage=place.url))
    shutil.rmtree(place.folder / "model.v2")
    elsewhere(place, monkeypatch)
    place.work()
    assert place.search().state == "finished", place.said


def test_a_file_as_cocos_goes_with_images_that_lie_beside_its_folder_to_a_worker_elsewhere(place, monkeypatch):
    folder, count = place.folder / "pets", 20
    images = [{"id": index, "file_name": f"{index}.png"} for index in range(count)]
    boxes = [{"id": index, "image_id": index, "category_id": 1, "bbox": [0, 0, 4, 4]} for index in range(count)]
    for name in ("train2017", "annotations"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / "train2017" / f"{index}.png")
    categories = [{"id": 1, "name": "cat"}]
    text = json.dumps({"images": images, "annotations": boxes, "categories": categories})
    (folder / "annotations" / "instances_train2017.json").write_text(text)
    document, _ = document_for(folder)
    assert document.kind == "object_detection"
    submit(with_budget(document, {"trials": 1}), Options(storage=place.url))
    shutil.rmtree(folder)
    elsewhere(place, monkeypatch)
    place.work()
    assert place.search("pets").state == "finished", place.said


def test_a_worker_elsewhere_needs_neither_the_files_nor_the_cache(place, monkeypatch):
    place.queue()
    (place.folder / "train.tsv").unlink()
    monkeypatch.setenv("AUTOML_CACHE", str(place.folder / "elsewhere"))
    monkeypatch.chdir("/")
    place.work()
    assert place.search().state == "finished"
