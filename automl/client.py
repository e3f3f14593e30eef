"""A client of the service: the same searches, on somebody else's machine.

search = automl.connect("https://automl.example", token).search("task.toml", budget="10m")
search.export("model")
"""

import io
import json
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from automl.archives import files_below, packed, shared_folder
from automl.budget import parse_duration
from automl.errors import InputError
from automl.tasks import TASKS
from automl.tasks.document import TaskDocument, document_from_mapping, with_budget
from automl.tasks.draft import DEFAULT_TIME, document_for

ENDED = ("finished", "failed", "paused", "cancelled", "interrupted")
PAUSE_SECONDS = 2.0
IMAGES = [name for name, kind in TASKS.items() if kind.form.reads_images]
IMAGES_AT_ONCE, SOURCES_AT_ONCE, CHARACTERS_AT_ONCE = 16, 200, 200_000
BEST = ("trial", "scores", "test_scores", "configuration", "parameters")
AWAY = (502, 503, 504)
WEIGHTS = ".safetensors"
"""How the files end in which two models differ."""
"""What a proxy answers while the service restarts, and the service while its database does."""
TIMEOUT = httpx.Timeout(30.0, read=300.0)


class Connection:
    """A service and a key that opens it."""

    def __init__(self, url: str, token: str, client: httpx.Client | None = None) -> None:
        """Connect; `client` stands in for the network in tests."""
        self._http = client or httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT)
        self._headers = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(
        self,
        task: str | Path | Mapping[str, Any],
        budget: str | Mapping[str, Any] | None = None,
        *,
        workers: int | None = None,
        wait: bool = True,
    ) -> "RemoteSearch":
        """Upload the data of a task, submit it, and wait until it has ended.

        Args:
            task: As for `automl.search`; its data are files and folders here. `[pretraining] from` is a bundle here, or
                the name of a finished search there.
            budget: A duration, or the fields of `[budget]`.
            workers: Trainers at a time.
            wait: Whether to wait.

        Raises:
            InputError: The task is wrong, or the service refuses it.
        """
        document = _document(task, budget)
        mapping = document.to_mapping()
        for split, path in document.data.files.items():
            mapping["data"][split] = self.upload(path, document.form.parts(path) if path.is_file() else ())
        for name, path in document.pretraining.files.items() if document.pretraining is not None else ():
            mapping["pretraining"][name] = self.upload(path) if path.exists() or name != "from" else path.name
        body = {"task": mapping} | ({} if workers is None else {"workers": workers})
        answer = self.request("POST", "/v1/searches", json=body)
        found = RemoteSearch(self, answer["search"], answer)
        return found.wait() if wait else found

    def upload(self, path: str | Path, others: Iterable[Path] = ()) -> str:
        """Upload a file, or a folder as a ZIP file; returns the id that stands for it in a task document.

        Args:
            path: The file or the folder.
            others: Files that it needs, such as its images; they go along in a ZIP file.

        Raises:
            InputError: It cannot be read, or the service refuses it.
        """
        place = Path(path).absolute()
        beside = [other.absolute() for other in others]
        try:
            if place.is_dir():
                name, data = f"{place.name}.zip", packed(place.parent, files_below(place), small=True)
            elif beside:
                name, data = f"{place.stem}.zip", packed(shared_folder([place, *beside]), [place, *beside], small=True)
            else:
                name, data = place.name, place.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check its path") from error
        return str(self.request("POST", "/v1/uploads", files={"file": (name, data)})["id"])

    def searches(self) -> Iterator["RemoteSearch"]:
        """Yield the searches that the key may see, newest first."""
        before: int | None = None
        while True:
            page = self.request("GET", "/v1/searches", params={} if before is None else {"before": before})
            yield from (RemoteSearch(self, item["search"], item) for item in page["items"])
            before = page["next"]
            if before is None:
                return

    def open(self, name: str) -> "RemoteSearch":
        """Return a search by its name."""
        return RemoteSearch(self, name, self.request("GET", f"/v1/searches/{name}"))

    def request(self, method: str, path: str, **others: Any) -> Any:
        """Send a request and return the JSON of the answer, or its bytes.

        Raises:
            InputError: The service refuses it, or does not answer.
        """
        try:
            response = self._http.request(method, path, headers=self._headers, **others)
        except httpx.HTTPError as error:
            raise InputError(f"{self._http.base_url}: does not answer ({type(error).__name__}); check url") from None
        if response.is_error:
            raise InputError(f"{self._http.base_url}: {_detail(response)}")
        is_json = response.content and response.headers.get("content-type", "").startswith("application/json")
        return response.json() if is_json else response.content

    def stream(self, path: str, last: str) -> Iterator[dict[str, Any]]:
        """Yield server-sent events after the one with that id: `event`, `id` and the decoded `data`."""
        headers = {**self._headers, "Last-Event-ID": last}
        with self._http.stream("GET", path, headers=headers) as response:
            if response.status_code in AWAY:
                raise httpx.ReadError("the service is away")
            if response.is_error:
                response.read()
                raise InputError(f"{self._http.base_url}: {_detail(response)}")
            event: dict[str, Any] = {}
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if not line and "data" in event:
                    yield {**event, "data": json.loads(event["data"])}
                if not line:
                    event = {}
                elif name in ("id", "event", "data"):
                    event[name] = value


@dataclass(frozen=True)
class RemoteBest:
    """The best trial of a search, as `automl.search` gives it."""

    search: "RemoteSearch" = field(repr=False)
    trial: int
    scores: Mapping[str, float]
    test_scores: Mapping[str, float]
    configuration: Mapping[str, Any]
    parameters: int | None

    def export(self, folder: str | Path, formats: Sequence[str] = ()) -> Path:
        """Write the winner's folder; see `RemoteSearch.export`."""
        return self.search.export(folder, formats=formats)


class RemoteSearch:
    """A search of the service; `document` is how it stood when it was last asked."""

    def __init__(self, connection: Connection, name: str, document: Mapping[str, Any]) -> None:
        self._connection = connection
        self.name = name
        self.document = document

    @property
    def state(self) -> str:
        """Its state when it was last asked."""
        return str(self.document["state"])

    @property
    def best(self) -> "RemoteBest | None":
        """The best trial then."""
        best = self.document["best"]
        return None if best is None else RemoteBest(self, **{name: best[name] for name in BEST})

    def refresh(self) -> "RemoteSearch":
        """Ask how it stands."""
        self.document = self._connection.request("GET", self._path())
        return self

    def events(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield what it decides until it has ended; a connection that is lost is made again, and nothing is missed."""
        last = str(after)
        while True:
            try:
                for event in self._connection.stream(self._path("events"), last):
                    last = event.get("id", last)
                    if event["event"] == "end":
                        return
                    if event["event"] == "decision":
                        yield event["data"]
            except httpx.HTTPError:
                pass
            time.sleep(PAUSE_SECONDS)

    def wait(self) -> "RemoteSearch":
        """Wait until it has ended."""
        for _ in self.events():
            pass
        return self.refresh()

    def pause(self) -> "RemoteSearch":
        """Let it end what it runs and wait."""
        return self._ask("POST", "pause")

    def resume(self) -> "RemoteSearch":
        """Let it go on."""
        return self._ask("POST", "resume")

    def cancel(self) -> "RemoteSearch":
        """End it for good."""
        return self._ask("POST", "cancel")

    def extend(self, budget: str | Mapping[str, Any]) -> "RemoteSearch":
        """Give it another budget in all."""
        return self._ask("PUT", "budget", json={"budget": _budget(budget)})

    def leaderboard(self) -> list[dict[str, Any]]:
        """Return its trials, best first."""
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self._connection.request("GET", self._path("trials"), params={"after": after, "limit": 100})
            rows, after = rows + page["items"], page["next"]
        return rows

    def report(self) -> dict[str, Any]:
        """Return what it has learnt."""
        found: dict[str, Any] = self._connection.request("GET", self._path("report"))
        return found

    def predict(self, sources: Sequence[str | Path], trial: int | None = None) -> list[str]:
        """Return one output for each source, by the winner or another trial; sources of images are paths of them.

        Raises:
            InputError: The service refuses them, or an image cannot be read.
        """
        asked = {} if trial is None else {"trial": trial}
        outputs: list[str] = []
        if self.document["task"]["kind"] in IMAGES:
            path = self._path("predict/images")
            for begin in range(0, len(sources), IMAGES_AT_ONCE):
                files = [("images", _image(source)) for source in sources[begin : begin + IMAGES_AT_ONCE]]
                outputs += self._connection.request("POST", path, files=files, params=asked)["outputs"]
        else:
            for piece in _pieces(list(map(str, sources))):
                body = {"sources": piece, **asked}
                outputs += self._connection.request("POST", self._path("predict"), json=body)["outputs"]
        return outputs

    def attention(self, source: str, trial: int | None = None) -> dict[str, Any]:
        """Return where the winner, or another trial, looks: `source` and `target` tokens, `weights` by both."""
        body = {"source": source} | ({} if trial is None else {"trial": trial})
        found: dict[str, Any] = self._connection.request("POST", self._path("attention"), json=body)
        return found

    def export(self, folder: str | Path, trial: int | None = None, *, formats: Sequence[str] = ()) -> Path:
        """Write the winner's folder, or that of another trial; return it.

        Args:
            folder: Where; it must not be there yet.
            trial: The trial.
            formats: Further forms of the model in the same folder, such as `onnx`; each is compared with it there.

        Raises:
            InputError: The folder is there already or cannot be written, or the model does not have a form.
        """
        target = Path(folder)
        if target.exists():
            raise InputError(f"{target}: is there already; name a new folder")
        asked = {} if trial is None else {"trial": trial}
        wanted = [{**asked, "format": form} for form in formats or ("bundle",)]
        files: dict[tuple[str, ...], bytes] = {}
        for each in wanted:
            if each["format"] != "bundle":
                self._make(each)
            found = _files(self._connection.request("GET", self._path("model"), params=each))
            if any(files[name] != found[name] for name in files.keys() & found.keys() if name[-1].endswith(WEIGHTS)):
                raise InputError(f"{target}: the search has found a better model meanwhile; export it again")
            files |= found
        try:
            _write(files, target)
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error.strerror}); name a folder that can") from error
        return target

    def _make(self, asked: Mapping[str, Any]) -> None:
        """Let the service make a form of a model, and wait until it is there."""
        path, state = self._path("exports"), "absent"
        while state != "ready":
            said = self._connection.request("POST" if state == "absent" else "GET", path, params=asked)
            state = said["state"]
            if state == "failed":
                raise InputError(said["why"])
            if state != "ready":
                time.sleep(PAUSE_SECONDS)

    def delete(self, *, purge: bool = False) -> None:
        """Delete it; with `purge` also its checkpoints and its data."""
        self._connection.request("DELETE", self._path(), params={"purge": purge})

    def _path(self, part: str = "") -> str:
        return f"/v1/searches/{self.name}" + (f"/{part}" if part else "")

    def _ask(self, method: str, part: str, **others: Any) -> "RemoteSearch":
        self.document = self._connection.request(method, self._path(part), **others)
        return self


def _document(task: str | Path | Mapping[str, Any], budget: str | Mapping[str, Any] | None) -> TaskDocument:
    document = document_from_mapping(task, Path()) if isinstance(task, Mapping) else document_for(Path(task))[0]
    if budget is not None:
        document = with_budget(document, _budget(budget))
    return with_budget(document, {"time": DEFAULT_TIME}) if document.is_endless else document


def _budget(budget: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(budget, str):
        parse_duration(budget)
        return {"time": budget}
    return dict(budget)


def _pieces(sources: Sequence[str]) -> Iterator[list[str]]:
    """Yield sources in turn, so many at a time as one request may have."""
    piece: list[str] = []
    for source in sources:
        if len(piece) == SOURCES_AT_ONCE or sum(map(len, piece)) + len(source) > CHARACTERS_AT_ONCE:
            yield piece
            piece = []
        piece.append(source)
    if piece:
        yield piece


def _files(data: bytes) -> dict[tuple[str, ...], bytes]:
    """Return the files of a ZIP file by their names within the one folder that it holds."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {
            Path(entry.filename).parts[1:]: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()
        }
    if any(not name or ".." in name for name in files):
        raise InputError("the service sends files that lie outside of a model's folder; it is not to be trusted")
    return files


def _write(files: Mapping[tuple[str, ...], bytes], folder: Path) -> None:
    """Write a folder under another name beside it, and rename it when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        whole = Path(scratch, "model")
        for name, data in files.items():
            place = whole.joinpath(*name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        whole.rename(folder)


def _image(source: str | Path) -> tuple[str, bytes]:
    try:
        return Path(source).name, Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"{source}: the image cannot be read ({error.strerror}); check its path") from error


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"answers {response.status_code}"
