"""Folders that pretend to be winners: each is one way to make a reader run code, leave the folder, or run out of memory."""

import hashlib
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from automl.bundle import FILES, MANIFEST
from automl.data.tokenizers import UNK
from automl.description import described

Attempt = Callable[[Path], None]
MARK = "executed"
"""A file of this name lies in the folder's parent as soon as anything has been executed."""


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.place.parent / MARK}",))


def sealed(folder: Path, **changes: Any) -> None:
    """Write the manifest anew, so that it vouches for whatever lies there, with changes of its own."""
    files = {}
    for name in (*FILES, "README.md"):
        data = (folder / name).read_bytes() if (folder / name).is_file() else b""
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / MANIFEST).write_text(json.dumps({"version": 1, "files": files, **changes}))


def written(name: str, make: Callable[[Path], bytes]) -> Attempt:
    def attempt(folder: Path) -> None:
        data = make(folder)
        (folder / name).write_bytes(data)
        if name != MANIFEST:
            sealed(folder)

    return attempt


def configured(path: str, value: Any) -> Attempt:
    """Set one value of `config.json`, and vouch for it."""

    def attempt(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        *parents, last = path.split(".")
        place = config
        for key in parents:
            place = place[key]
        if value is KeyError:
            del place[last]
        else:
            place[last] = value
        (folder / "config.json").write_text(json.dumps(config))
        sealed(folder)

    return attempt


def header(make: Callable[[dict[str, Any]], Any]) -> Attempt:
    """Change the header of the weights, and vouch for it."""

    def attempt(folder: Path) -> None:
        data = (folder / "model.safetensors").read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        changed = json.dumps(make(json.loads(data[8 : 8 + size]))).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(changed)) + changed + data[8 + size :])
        sealed(folder)

    return attempt


def first(entries: dict[str, Any], **changes: Any) -> dict[str, Any]:
    name = next(name for name in entries if name != "__metadata__")
    return {**entries, name: {**entries[name], **changes}}


def renamed(entries: dict[str, Any], name: str) -> dict[str, Any]:
    old = next(name for name in entries if name != "__metadata__")
    return {(name if key == old else key): value for key, value in entries.items()}


def zipped(_: Path) -> bytes:
    """A gigabyte of zeros in a megabyte."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data.pkl", "w") as file:
        for _ in range(256):
            file.write(bytes(2**22))
    return made.getvalue()


def sparse(name: str, size: int) -> Attempt:
    """A file of zeros that takes no room on the disk; the manifest knows its size, not its sum."""

    def attempt(folder: Path) -> None:
        os.truncate(folder / name, size)
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][name]["bytes"] = size
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return attempt


def vast(folder: Path) -> None:
    """A model of a gigabyte, as its configuration says, and so many zeros."""
    configured("configuration.encoder.hidden_size", 8192)(folder)
    sparse("model.safetensors", 4 * described(json.loads((folder / "config.json").read_text())).parameters)(folder)


VALUES = (("objects", b"{}"), ("texts", b'"ab"'), ("numbers", b"7"))


def endless(value: bytes) -> Callable[[Path], bytes]:
    """As many values as fit in a file."""
    return lambda _: b'{"model":[' + (value + b",") * (30 * 2**20 // (len(value) + 1)) + value + b"]}"


def linked(name: str, target: str) -> Attempt:
    """A link in place of a file, to a sound one elsewhere."""

    def attempt(folder: Path) -> None:
        elsewhere = folder.parent / "elsewhere"
        shutil.copytree(folder, elsewhere)
        (folder / name).unlink()
        (folder / name).symlink_to(target.format(elsewhere=elsewhere, name=name))

    return attempt


def listed(make: Callable[[dict[str, Any]], dict[str, Any]]) -> Attempt:
    def attempt(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**manifest, "files": make(manifest["files"])}))

    return attempt


def flat(folder: Path) -> None:
    """One array of as many zeros as a model of a gigabyte has parameters, on no disk; its digest is right."""
    configured("configuration.encoder.hidden_size", 4096)(folder)
    size = described(json.loads((folder / "config.json").read_text())).parameters
    head = json.dumps({"x": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(path, 8 + len(head) + 4 * size)
    with path.open("rb") as file:
        entry = {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
    listed(lambda files: {**files, "model.safetensors": entry})(folder)


def moved(name: str, path: str) -> Attempt:
    """Let the manifest list a file by another name, which leaves the folder."""
    return listed(lambda files: {(path if key == name else key): value for key, value in files.items()})


def pipe(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def folder_as_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def tokenizer(change: Callable[[dict[str, Any]], Any]) -> Attempt:
    def attempt(folder: Path) -> None:
        path = folder / "tokenizer.source.json"
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
        sealed(folder)

    return attempt


def vocabulary(change: Callable[[dict[str, int]], dict[str, int]]) -> Attempt:
    """Change the numbers of a tokenizer's tokens."""
    return tokenizer(
        lambda document: {**document, "model": {**document["model"], "vocab": change(document["model"]["vocab"])}}
    )


def deep(kind: str) -> Callable[[Path], bytes]:
    opening, closing = {"list": ("[", "]"), "object": ('{"a":', "}")}[kind]
    return lambda _: (opening * 200_000 + "1" + closing * 200_000).encode()


def not_finite(folder: Path) -> bytes:
    data = (folder / "model.safetensors").read_bytes()
    return data[:-4] + np.float32(np.nan).tobytes()


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Payload(folder))


ATTEMPTS: dict[str, Attempt] = {
    **{f"a pickle as {name}": written(name, pickled) for name in (*FILES, MANIFEST)},
    **{f"a zip bomb as {name}": written(name, zipped) for name in ("config.json", "model.safetensors", MANIFEST)},
    **{
        f"nested {kind}s as {name}": written(name, deep(kind))
        for kind in ("list", "object")
        for name in ("config.json", "metrics.json", "tokenizer.target.json", MANIFEST)
    },
    **{f"a sparse file of 8 GiB as {name}": sparse(name, 2**33) for name in FILES},
    "a sparse file as large as the weights would be": vast,
    "one array as large as the weights would be": flat,
    "a vocabulary of as many tokens as fit": tokenizer(
        lambda document: {
            **document,
            "model": {**document["model"], "vocab": {f"{place:x}": place for place in range(500_000)}},
        }
    ),
    **{f"{what} without end as a tokenizer": written("tokenizer.source.json", endless(each)) for what, each in VALUES},
    "a name of a megabyte": configured("configuration.encoder.kind", "x" * 900_000),
    "a manifest of 8 GiB": lambda folder: os.truncate(folder / MANIFEST, 2**33),
    "a link to a sound file": linked("model.safetensors", "{elsewhere}/{name}"),
    "a relative link": linked("config.json", "../elsewhere/{name}"),
    "a link to a device": linked("model.safetensors", "/dev/zero"),
    "a pipe": pipe,
    "a folder in place of a file": folder_as_file,
    "a name that goes up": moved("model.safetensors", "../elsewhere/model.safetensors"),
    "an absolute name": moved("config.json", "/etc/passwd"),
    "a file that is not listed": listed(lambda files: {k: v for k, v in files.items() if k != "metrics.json"}),
    "a list of files that is none": lambda folder: sealed(folder, files=["config.json"]),
    "an entry that is none": listed(lambda files: {**files, "config.json": "trust me"}),
    "a wrong digest": listed(lambda files: {**files, "config.json": {**files["config.json"], "sha256": "0" * 64}}),
    "a digest that is a number": listed(lambda files: {**files, "config.json": {**files["config.json"], "sha256": 0}}),
    "a wrong size": listed(lambda files: {**files, "config.json": {**files["config.json"], "bytes": 1}}),
    "a version to come": lambda folder: sealed(folder, version=2),
    "a version that is a list": lambda folder: sealed(folder, version=[1]),
    "an unknown encoder": configured("configuration.encoder.kind", "os.system"),
    "a kind with a path": configured("configuration.decoder.kind", "../../evil.Decoder"),
    "an encoder that is a text": configured("configuration.encoder", "Recurrent"),
    "a dial that there is not": configured("configuration.encoder.__class__", "x"),
    "a dial that is missing": configured("configuration.encoder.hidden_size", KeyError),
    "a configuration that is a list": configured("configuration", []),
    "no configuration": configured("configuration", KeyError),
    "a size beyond all": configured("configuration.encoder.hidden_size", 10**12),
    "layers without end": configured("configuration.encoder.num_layers", 10**9),
    "a negative size": configured("configuration.encoder.hidden_size", -8),
    "a size of nothing": configured("configuration.encoder.hidden_size", 0),
    "no layers": configured("configuration.encoder.num_layers", 0),
    "attention of nothing": configured("configuration.decoder.attention.size", 0),
    "heads that do not divide the width": configured(
        "configuration.decoder.attention", {"kind": "MultiHead", "num_heads": 3, "group": 1}
    ),
    "an unknown token that is no token": tokenizer(
        lambda document: {**document, "model": {**document["model"], "unk_token": "nope"}}
    ),
    "a size that is a text": configured("configuration.encoder.hidden_size", "16"),
    "a cell that there is not": configured("configuration.encoder.cell", "__import__"),
    "a rate that is none": configured("configuration.dropout", float("nan")),
    "another size than the weights'": configured("configuration.encoder.hidden_size", 32),
    "a vocabulary beyond all": configured("vocabulary.source", 2**40),
    "a vocabulary that is a list": configured("vocabulary", [12, 12]),
    "another vocabulary than the tokenizer's": configured("vocabulary", {"source": 12, "target": 13}),
    "outputs without end": configured("decoding.max_length", 2**40),
    "an unknown way to decode": configured("decoding.method", "eval"),
    "a beam beyond all": configured("decoding", {"method": "beam", "beam": 10**6, "max_length": 9}),
    "outputs of an hour": configured("decoding.max_length", 2**15 + 1),
    "a kind of task that there is not": configured("kind", "os.system"),
    "a kind of task that is a list": configured("kind", ["translation"]),
    "no kind of task": configured("kind", KeyError),
    "metrics that are a text": configured("metrics", "bleu"),
    "metrics that are numbers": configured("metrics", [1, 2]),
    "no metrics": configured("metrics", KeyError),
    "columns that are a list": configured("data", ["source", "target"]),
    "columns without end": configured("data", {"source": {"a": 1}}),
    "sources without end": configured("max_source_length", 2**60),
    "a header beyond the file": written("model.safetensors", lambda _: struct.pack("<Q", 2**63) + b"{}"),
    "a header of nothing": written("model.safetensors", lambda _: b""),
    "a header that is no JSON": written("model.safetensors", lambda _: struct.pack("<Q", 3) + b"abc"),
    "a header that is a list": header(lambda entries: [entries]),
    "a shape beyond the file": header(lambda entries: first(entries, shape=[2**31 - 1, 2**31 - 1, 2**31 - 1])),
    "a negative shape": header(lambda entries: first(entries, shape=[-1, -12])),
    "a shape that is a text": header(lambda entries: first(entries, shape="12")),
    "objects for numbers": header(lambda entries: first(entries, dtype="O")),
    "offsets beyond the file": header(lambda entries: first(entries, data_offsets=[0, 2**50])),
    "offsets that overlap": header(lambda entries: first(entries, data_offsets=[4, 8])),
    "an array by another name": header(lambda entries: renamed(entries, "__class__")),
    "a weight that is no number": written("model.safetensors", not_finite),
    "bytes behind the weights": written(
        "model.safetensors", lambda folder: (folder / "model.safetensors").read_bytes() + b"MZ"
    ),
    "an unknown tokenizer": tokenizer(lambda document: {**document, "model": {"type": "Exec", "vocab": {}}}),
    "a tokenizer with a pattern that never ends": tokenizer(
        lambda document: {
            **document,
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"Regex": "(a+)+$"},
                "behavior": "Isolated",
                "invert": False,
            },
        }
    ),
    "a tokenizer that is a text": tokenizer(json.dumps),
    "a token of an enormous number": vocabulary(lambda tokens: {**tokens, "a": 10**9}),
    "two tokens of one number": vocabulary(lambda tokens: {**tokens, "a": tokens["b"]}),
    "a tokenizer without the unknown token": vocabulary(
        lambda tokens: {("?" if number == UNK else token): number for token, number in tokens.items()}
    ),
    "a tokenizer that begins with letters": vocabulary(
        lambda tokens: {token: (number + 4) % len(tokens) for token, number in tokens.items()}
    ),
}


def outcomes(sound: Path, scratch: Path, load: Callable[[Path], Any]) -> Iterator[tuple[str, str]]:
    """Try to load every attempt; yield its name and how it ended."""
    for number, (name, attempt) in enumerate(ATTEMPTS.items()):
        folder = scratch / str(number) / "model"
        shutil.copytree(sound, folder)
        attempt(folder)
        try:
            load(folder)
            ended = "loaded"
        except Exception as error:
            ended = f"{type(error).__name__}: {error}"
        if (folder.parent / MARK).exists():
            ended = "executed"
        shutil.rmtree(folder.parent)
        yield name, ended


def main() -> None:
    """Print a line of JSON for each attempt, under a limit of memory, and what was used at most."""
    import resource

    sound, scratch, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    from automl.loading import load

    load(sound)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    for name, ended in outcomes(sound, scratch, load):
        print(json.dumps([name, ended]), flush=True)
    # Not the resource usage, which begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(json.dumps(["peak", int(status.split("VmHWM:")[1].split()[0]) * 1024]))


if __name__ == "__main__":
    main()
