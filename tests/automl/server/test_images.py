"""Images in the service: uploaded in archives, looked at, searched, and predicted from."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from automl.client import Connection
from automl.errors import InputError
from automl.server.models import Models
from automl.settings import Settings
from automl.submissions import Submission, document_of
from storage.searches import get_search
from tests.automl.server.service import WORDS


def png(seed: int, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def album(root: str = "photos/", count: int = 20, splits: tuple[str, ...] = ("",)) -> dict[str, bytes]:
    """Images of two classes, in folders."""
    return {
        f"{root}{split}{label}/{number}.png": png(1000 * place + 2 * number + (label == "dog"))
        for place, split in enumerate(splits)
        for label in ("cat", "dog")
        for number in range(count)
    }


def scenes(root: str = "", count: int = 20) -> dict[str, bytes]:
    """Images with a box on each, as COCO has them."""
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(count)]
    boxes = [
        {"id": number, "image_id": number, "category_id": 1 + number % 2, "bbox": [1, 1, 4, 4]}
        for number in range(count)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    document = json.dumps({"images": images, "annotations": boxes, "categories": categories})
    return {f"{root}boxes.json": document.encode()} | {
        f"{root}images/{number}.png": png(number) for number in range(count)
    }


def coco(root: str = "", count: int = 20) -> dict[str, bytes]:
    """The same in folders as COCO's."""
    given = scenes(count=count)
    document = given.pop("boxes.json")
    images = {f"{root}train2017/{name.removeprefix('images/')}": data for name, data in given.items()}
    return images | {f"{root}annotations/instances_train2017.json": document}


def nowhere() -> dict[str, bytes]:
    """A file of annotations whose image is not there."""
    return {name: data for name, data in coco(count=1).items() if name.endswith(".json")}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    np.savez_compressed(buffer, images=images, labels=np.arange(40) % 2)
    return buffer.getvalue()


def proposed(place, person, name: str, data: bytes) -> dict:
    upload = place.upload(person, data, name)
    answer = person.post("/v1/proposals", json={"train": upload})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("name", "data", "kind", "splits"),
    [
        ("photos.v2.zip", zipped(album() | {"__MACOSX/photos/._1.png": b"", "photos/.DS_Store": b""}), "image", 1),
        ("photos.zip", zipped(album(splits=("train/", "valid/"))), "image", 2),
        ("photos.zip", zipped(album(root="")), "image", 1),
        ("photos.npz", arrays(), "image", 1),
        ("scenes.zip", zipped(scenes()), "object", 1),
        ("scenes.zip", zipped(scenes("all/")), "object", 1),
        ("coco.zip", zipped(coco("coco/")), "object", 1),
        ("annotations.zip", zipped(coco()), "object", 1),
        ("words.zip", zipped({"train.tsv": WORDS.encode(), "test.tsv": b"c\td\n"}), "sequence", 2),
    ],
)
def test_what_is_packed_is_looked_at_searched_and_found_by_a_worker_elsewhere(
    place, tmp_path, monkeypatch, name, data, kind, splits
):
    ada = place.person()
    proposal = proposed(place, ada, name, data)
    document = proposal["document"] | {"budget": {"trials": 2}}
    assert document["kind"].startswith(kind)
    assert list(document["data"].values()).count(document["data"]["train"]) == splits
    answer = ada.post("/v1/searches", json={"task": document})
    assert answer.status_code == 202, answer.text
    assert str(tmp_path) not in answer.text
    row = get_search(place.database, answer.json()["search"])
    assert row is not None
    found = document_of(row, Submission.from_mapping(row.options), place.options.checkpoints, tmp_path / "elsewhere")
    assert all((tmp_path / "elsewhere") in path.parents for path in found.data.files.values())
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "elsewhere"))
    place.work()
    assert ada.get(answer.headers["Location"]).json()["state"] == "finished", row.message


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("photos.zip", b"PK", "photos.zip: not a whole ZIP file"),
        ("photos.zip", zipped(album() | {"../../etc/x": b""}), "'../../etc/x' does not lie within it"),
        ("photos.npz", zipped({"images.npy": bytes(2000), "labels.npy": b""}), "more than 1,000 bytes in all"),
        ("photos.zip", zipped({"a/1.png": bytes(2000), "b/2.png": b""}), "more than 1,000 bytes in all"),
        ("photos.zip", zipped({"a.exe": b"", "b.exe": b""}), "no file is called train"),
        (
            "coco.zip",
            zipped(nowhere()),
            "instances_train2017.json: image 0: there is no such image as 0.png; it was looked for in annotations/, ",
        ),
    ],
)
def test_an_archive_that_could_hurt_or_holds_nothing_is_refused_without_a_path(place, name, data, message):
    ada = place.limited(unpacked_bytes=1000).person()
    answer = ada.post("/v1/proposals", json={"train": place.upload(ada, data, name)})
    assert (answer.status_code, message in answer.json()["detail"]) == (422, True), answer.text
    assert str(place.folder) not in answer.text


def test_a_split_that_an_archive_lacks_is_said(place):
    ada = place.person()
    upload = place.upload(ada, zipped(album(splits=("train/", "valid/"))), "photos.zip")
    task = {"name": "x", "kind": "image_classification", "data": {"train": upload, "test": upload}}
    answer = ada.post("/v1/searches", json={"task": task | {"budget": {"trials": 1}}})
    assert answer.json()["detail"] == "photos.zip holds train, valid, and no test; upload another for it"


@pytest.fixture
def searched_images(place):
    ada = place.person()
    document = proposed(place, ada, "scenes.zip", zipped(scenes()))["document"]
    answer = ada.post("/v1/searches", json={"task": document | {"name": "scenes", "budget": {"trials": 1}}})
    assert answer.status_code == 202, answer.text
    place.work()
    return place


def test_images_are_predicted_from_by_programs_and_in_browsers(searched_images, monkeypatch, tmp_path):
    place = searched_images
    monkeypatch.setattr(Models, "bundle", lambda *_: tmp_path)
    ada, path = place.person(), "/v1/searches/scenes/predict/images"
    files = [("images", ("a.png", png(1, (8, 6)))), ("images", ("b.png", png(2)))]
    answer = ada.post(path, files=files)
    assert (answer.status_code, answer.json()["sizes"]) == (200, [[8, 6], [8, 8]]), answer.text
    assert json.loads(answer.json()["outputs"][0])[0]["class"] == "cat"
    assert ada.post(path, files=files * 9).status_code == 422
    browser = place.browser()
    shown = browser.get("/searches/scenes/try").text
    assert 'type="file"' in shown
    assert "<textarea" not in shown
    form = {"csrf": place.form_token(browser)}
    page = browser.post("/searches/scenes/try", data=form, files={"image": ("a.png", png(1, (8, 6)))})
    assert page.status_code == 200
    for part in ('viewBox="0 0 8 6"', "data:image/png;base64,", '<rect x="1.0" y="2.0" width="3.0" height="4.0"'):
        assert part in page.text
    wrong = browser.post("/searches/scenes/try", data=form, files={"image": ("a.svg", b"<svg/>")})
    assert (wrong.status_code, "choose an image" in wrong.text) == (422, True)
    assert list((place.options.cache / "asked").iterdir()) == []


def test_what_is_asked_of_models_of_the_other_kind_is_refused(searched_images):
    ada = searched_images.person()
    answer = ada.post("/v1/searches/scenes/predict", json={"sources": ["/etc/passwd"]})
    assert (answer.status_code, "/predict/images" in answer.json()["detail"]) == (409, True)
    assert ada.post("/v1/searches/scenes/attention", json={"source": "x"}).status_code == 409
    searched_images.share_samples()
    assert ada.get("/v1/searches/scenes/trials/0/samples").status_code == 409


def test_texts_are_no_images(searched):
    answer = searched.person().post("/v1/searches/words/predict/images", files={"images": ("a.png", png(1))})
    assert (answer.status_code, "is of texts" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize("files", [album(), scenes("set/"), coco("set/")], ids=["folder", "scenes", "coco"])
def test_the_client_packs_what_a_task_of_images_needs(place, tmp_path, monkeypatch, files):
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(Models, "bundle", lambda *_: tmp_path)
    data = tmp_path / next(iter(files)).partition("/")[0]
    with Connection("", place.token(), place.client()) as connection:
        search = connection.search(data, budget={"trials": 1}, wait=False)
        place.work()
        (tmp_path / "a.png").write_bytes(png(1))
        assert len(search.predict([tmp_path / "a.png"] * 17)) == 17
        with pytest.raises(InputError, match=r"b\.png: the image cannot be read"):
            search.predict([tmp_path / "b.png"])


def test_the_page_of_a_new_search_takes_images(place):
    browser = place.browser()
    form = {"csrf": place.form_token(browser)}
    page = browser.post("/new", data=form, files={"train": ("photos.zip", zipped(album()))})
    assert page.status_code == 200
    for part in ("images of 2 classes", "images of train", "cat 20, dog 20", "image_classification"):
        assert part in page.text.replace("image classification", "image_classification"), part
    assert "Column of the source" not in page.text
    assert "dialogue" not in page.text
    fields = form | {"name": "photos", "train": "upload-1", "kind": "image_classification", "trials": "1"}
    assert browser.post("/new/start", data=fields).headers["Location"] == "/searches/photos"


def test_what_was_unpacked_goes_when_a_search_is_purged(place):
    ada = place.person()
    document = proposed(place, ada, "photos.zip", zipped(album()))["document"]
    ada.post("/v1/searches", json={"task": document | {"budget": {"trials": 1}}})
    place.work()
    assert list((Settings().cache / "data").iterdir())
    ada.delete(f"/v1/uploads/{document['data']['train']}")
    assert ada.delete(f"/v1/searches/{document['name']}", params={"purge": True}).status_code == 204
    assert list((Settings().cache / "data").iterdir()) == []
    assert list((place.options.cache / "uploads").iterdir()) == []
