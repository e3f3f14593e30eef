"""Small files of which much would be made are refused before it is, by the names that their owners gave them."""

import io
import struct
import zlib

import numpy as np
import polars
import pytest
from numpy.lib.format import MAGIC_PREFIX

from automl.data.parquet import VALUE, extent
from automl.errors import InputError
from automl.server.contents import Contents
from automl.server.options import Limits
from tests.automl.server.test_images import album, zipped

LONG = "".join(chr(97 + number % 26) for number in range(1000)) * 100


def arrays(count: int = 4_000) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((count, 8, 8), np.uint8), labels=np.zeros(count, np.int64))
    return buffer.getvalue()


def headed(header: str) -> bytes:
    """Arrays whose headers say that."""
    said = header.encode() + b"\n"
    array = MAGIC_PREFIX + bytes([1, 0]) + struct.pack("<H", len(said)) + said + bytes(100)
    return zipped({"images.npy": array, "labels.npy": array})


def table(source: list, **options: object) -> bytes:
    buffer = io.BytesIO()
    polars.DataFrame({"source": source, "target": ["b"] * len(source)}).write_parquet(buffer, **options)
    return buffer.getvalue()


def claimed(side: int) -> bytes:
    """The beginning of an image of so many pixels a side."""
    kept = zlib.compress(bytes(99))
    parts = (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", kept), (b"IEND", b"")
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("train.npz", arrays(), "its files have more than 200,000 bytes in all"),
        ("train.npz", arrays(1_500), "has more than 1,000 rows"),
        ("train.npz", arrays(400), "what it holds takes more than 200,000 bytes"),
        ("train.parquet", table(["a"] * 2_000), "has more than 1,000 rows"),
        ("train.parquet", table([LONG] * 600), "what it holds takes more than 200,000 bytes"),
        ("train.parquet", table([[None] * 9_000]), "what it holds takes more than 200,000 bytes"),
        ("train.tsv", b"a\tb\n" * 2_000, "has more than 1,000 rows"),
        ("boxes.json", b"[" + b"[]," * 9_000 + b"[]]", "what it holds takes more than 200,000 bytes"),
    ],
)
def test_the_limits_of_an_upload_hold_for_what_is_packed_in_it(place, name, data, said):
    ada = place.limited(unpacked_bytes=200_000, rows=1_000).person()
    answer = ada.post("/v1/proposals", json={"train": place.upload(ada, zipped({name: data}), "small.zip")})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"small.zip/{name}: {said}"), answer.text
    folders = [path.name for path in (place.options.cache / "uploads").rglob("*") if path.is_dir()]
    assert "all" not in folders  # nothing of it stays unpacked


@pytest.mark.parametrize(("name", "data"), [("a.npz", arrays()), ("a.parquet", table([LONG] * 600))])
def test_they_hold_for_an_upload_itself_each_time(place, name, data):
    ada = place.limited(unpacked_bytes=200_000).person()
    upload = place.upload(ada, data, name)
    for _ in "12":
        answer = ada.post("/v1/proposals", json={"train": upload})
        assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (422, name)


@pytest.mark.parametrize(
    "header",
    [
        "-" * 9_000 + "1",
        "[" * 9_000,
        "{[]: 1}",
        " " * 11_000,
        "{'descr': '<i8', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (0, 10000000000000000000000)}",
    ],
)
def test_headers_of_arrays_that_are_none_are_refused_in_one_line(place, header):
    ada = place.person()
    answer = ada.post("/v1/proposals", json={"train": place.upload(ada, headed(header), "a.npz")})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"].startswith("a.npz: not a .npz file of plain arrays (")
    assert "\n" not in answer.json()["detail"]


def test_what_was_found_good_of_some_bytes_says_nothing_of_the_same_bytes_by_another_name(place):
    ada = place.limited(unpacked_bytes=200_000, rows=1_000).person()
    data = zipped({"train.tsv": b"a\tb\n" * 2_000})
    for name in ("all", "all.txt", "a.zip"):
        answer = ada.post("/v1/proposals", json={"train": place.upload(ada, data, name)})
        assert answer.status_code == 422
    assert "has more than 1,000 rows" in answer.json()["detail"]


def test_a_cell_is_as_long_as_a_line_at_most(tmp_path):
    (tmp_path / "a.parquet").write_bytes(table(["x" * 1_000_001]))
    with pytest.raises(InputError, match=r"a\.parquet: a cell is longer than 1,000,000 bytes"):
        Contents(Limits()).check(tmp_path / "a.parquet")


def test_images_are_counted_by_their_pixels_before_these_are_read(place):
    ada = place.limited(pixels=1_000_000).person()
    bomb = album() | {"photos/cat/large.png": claimed(1_001)}
    answer = ada.post("/v1/proposals", json={"train": place.upload(ada, zipped(bomb), "photos.zip")})
    assert (answer.status_code, "too many pixels" in answer.json()["detail"]) == (422, True)
    assert str(place.folder) not in answer.text


def test_an_image_of_more_pixels_than_is_safe_to_open_is_refused_in_one_line(place):
    ada = place.person()
    bomb = album() | {"photos/cat/large.png": claimed(14_000)}
    answer = ada.post("/v1/proposals", json={"train": place.upload(ada, zipped(bomb), "photos.zip")})
    assert (answer.status_code, "64,000,000 at most" in answer.json()["detail"]) == (422, True), answer.text


def test_what_shows_only_when_all_is_looked_at_names_no_path_either(place):
    ada = place.person()
    buffer = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez_compressed(buffer, images=images, labels=np.zeros(40, np.int64))
    answer = ada.post(
        "/v1/proposals", json={"train": place.upload(ada, zipped({"train.npz": buffer.getvalue()}), "a.zip")}
    )
    assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (422, "train.npz"), answer.text


@pytest.mark.parametrize("compression", ["uncompressed", "zstd"])
def test_a_file_of_parquet_is_measured_without_being_decoded(tmp_path, compression):
    path = tmp_path / "a.parquet"
    path.write_bytes(table([f"text {number}" for number in range(5_000)], compression=compression, row_group_size=999))
    found = extent(path, 2**30)
    texts = sum(len(f"text {number}") for number in range(5_000))
    assert found.rows == 5_000
    assert texts + 2 * VALUE * 5_000 <= found.size < 4 * (texts + 2 * VALUE * 5_000)
    assert extent(path, 1_000).size > 1_000


def test_a_file_of_parquet_with_long_headers_of_pages_is_given_up_early(tmp_path):
    path, count = tmp_path / "a.parquet", 3 << 14
    header = b"\x25\0\x15\0\x2c\x15\0\0\x19\xf1\x80\x80\x03" + b"\1" * count + b"\0"
    column = b"\x3c\x75\x02\x25\x08\0\0"  # twelve of one page, which lies at 4
    footer = b"\x36\x02\x19\x1c\x19\xcc" + 12 * column + b"\x26\x02\0\0"
    path.write_bytes(b"PAR1" + header + footer + struct.pack("<I", len(footer)) + b"PAR1")
    assert extent(path, 2**30).size > 12 * VALUE * count
    assert extent(path, 2**20).size < 2 * VALUE * count


def test_whatever_is_no_parquet_is_said_to_be_none(tmp_path):
    path, good = tmp_path / "a.parquet", table(["a"] * 100)
    for end in range(0, len(good), 7):
        for broken in (good[:end], good[:end] + bytes([good[end] ^ 255]) + good[end + 1 :]):
            path.write_bytes(broken)
            try:
                Contents(Limits()).check(path)
            except InputError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017  nothing else may be raised
