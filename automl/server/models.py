"""The models of the service: exported, predicting, looking, and what they make of samples."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from automl.bundle import MANIFEST, write_bundle
from automl.control import history
from automl.errors import InputError
from automl.export.exporting import export
from automl.records import Record, bundle_of_trial, examples_of, sample_of
from automl.server.datasets import spoken
from automl.server.documents import Example, ExportDocument
from automl.server.exports import Exports
from automl.server.idempotency import request_digest
from automl.server.library import Library, reads_images
from automl.server.options import ServerOptions
from automl.server.predictors import Predictors, Sight
from automl.server.problems import Problem, not_found
from automl.server.quotas import Quotas
from automl.server.turns import Turns
from automl.settings import private_folder
from storage.searches import SearchRow

SAMPLES = 8


@dataclass(frozen=True)
class Models:
    """The models of searches, made from their checkpoints where they are asked for."""

    options: ServerOptions
    library: Library
    quotas: Quotas
    predictors: Predictors
    exports: Exports
    turns: Turns

    def model(self, row: SearchRow, trial: int | None) -> tuple[int, str]:
        """Return the number of a trial, the best one where none is named, and what tells its model from all others.

        The winner is what the search has left as such: others may speak with the best trial, or one may have been
        distilled from them. A trial that is named is that trial alone.

        Raises:
            Problem: It has no result (409), or is not there (404).
        """
        return self._model(self.library.record(row), trial)

    def _model(self, record: Record, trial: int | None) -> tuple[int, str]:
        row = record.row
        if trial is not None and trial not in record.trials:
            raise not_found(f"trial {trial} of search {row.name!r}")
        best = history.best(record.trials.values() if trial is None else [record.trials[trial]], record.criteria)
        if best is None:
            raise Problem(409, f"search {row.name!r} has no result yet; wait for one")
        found = record.found(*best, alone=trial is not None)
        return best[0].row.number, request_digest(json.dumps(asdict(found), sort_keys=True))[:32]

    def bundle(self, row: SearchRow, trial: int | None) -> Path:
        """Return the folder of a trial's bundle, or of the winner's, written where it is not there yet.

        Raises:
            Problem: The account of the search keeps as much as it may (403); the winner of one that has ended is given.
        """
        return self._bundle(self.library.record(row), trial)

    def _bundle(self, record: Record, trial: int | None) -> Path:
        folder = self._served(record, trial)
        with self.turns.of(folder.name):
            if not (folder / MANIFEST).is_file():
                if trial is not None or record.row.held:
                    self.quotas.check_making(record.row)
                write_bundle(bundle_of_trial(record, trial, self.options.cache, self.options.checkpoints), folder)
        return folder

    def _exported(self, record: Record, trial: int | None, form: str) -> Path:
        folder = self._served(record, trial, f"-{form}")
        with self.turns.of(folder.name):
            if not (folder / MANIFEST).is_file():
                cache, checkpoints = self.options.cache, self.options.checkpoints
                bundle = bundle_of_trial(record, trial, cache, checkpoints)
                export(bundle, folder, [form], sample_of(record, bundle, cache, checkpoints))
        return folder

    def _served(self, record: Record, trial: int | None, form: str = "") -> Path:
        number, digest = self._model(record, trial)
        return private_folder(self.options.cache / "served") / f"{record.row.id}-{number}-{digest}{form}"

    def export(self, row: SearchRow, trial: int | None, form: str) -> ExportDocument:
        """Let a further form of a trial's model be made beside its bundle, where it is not there yet.

        Raises:
            Problem: The account of the search keeps as much as it may (403).
        """
        record = self.library.record(row)
        folder = self._served(record, trial, f"-{form}")
        if not (folder / MANIFEST).is_file():
            self.quotas.check_making(record.row)
            self.exports.begin(folder.name, lambda: self._exported(record, trial, form), row.account_id)
        return self._exporting(record, trial, form)

    def exporting(self, row: SearchRow, trial: int | None, form: str) -> ExportDocument:
        """Say how far a form is."""
        return self._exporting(self.library.record(row), trial, form)

    def _exporting(self, record: Record, trial: int | None, form: str) -> ExportDocument:
        folder = self._served(record, trial, f"-{form}")
        said: dict[str, Any] = {"search": record.row.name, "trial": self._model(record, trial)[0], "format": form}
        if self.exports.is_making(folder.name):
            return ExportDocument(**said, state="making")
        if (folder / MANIFEST).is_file():
            return ExportDocument(**said, state="ready")
        why = self.exports.failure(folder.name)
        return ExportDocument(**said, state="absent" if why is None else "failed", why=why)

    def folder(self, row: SearchRow, trial: int | None, form: str = "bundle") -> tuple[str, Path]:
        """Return what a trial's bundle, or one with a further form beside it, is called, and the folder where it lies.

        Raises:
            Problem: The form was not made yet (409).
        """
        record = self.library.record(row)
        if form != "bundle" and self._exporting(record, trial, form).state != "ready":
            raise Problem(409, f"{form} is not made yet; POST /v1/searches/{row.name}/exports?format={form} makes it")
        folder = self._bundle(record, trial) if form == "bundle" else self._served(record, trial, f"-{form}")
        number = self._model(record, trial)[0]
        return f"{row.name}-{number}" + ("" if form == "bundle" else f"-{form}"), folder

    def predict(self, row: SearchRow, trial: int | None, sources: Sequence[str]) -> tuple[int, list[str]]:
        """Return which trial predicted, and one output for each source.

        Raises:
            Problem: It reads images (409).
        """
        if reads_images(row):
            raise Problem(409, f"search {row.name!r} is of images; send them to /v1/searches/{row.name}/predict/images")
        record, clean = self.library.record(row), self._clean(sources)
        number, digest = self._model(record, trial)
        key = f"{row.id}-{digest}"
        return number, self.predictors.predict(key, lambda: self._bundle(record, trial), clean) if clean else []

    def see(self, row: SearchRow, trial: int | None, images: Sequence[bytes]) -> tuple[int, list[Sight]]:
        """Return which trial predicted, and what it saw on each image, which are PNG or JPEG.

        Raises:
            Problem: It reads no images (409), or they are too many.
        """
        if not reads_images(row):
            raise Problem(409, f"search {row.name!r} is of texts; send them to /v1/searches/{row.name}/predict")
        if not images or len(images) > self.options.limits.images:
            raise Problem(422, f"send 1 to {self.options.limits.images} images at a time")
        record = self.library.record(row)
        number, digest = self._model(record, trial)
        with TemporaryDirectory(dir=private_folder(self.options.cache / "asked")) as folder:
            files = [Path(folder, f"image {place}") for place in range(1, len(images) + 1)]
            for file, image in zip(files, images, strict=True):
                file.write_bytes(image)
            try:
                seen = self.predictors.see(f"{row.id}-{digest}", lambda: self._bundle(record, trial), files)
            except InputError as error:
                raise spoken(error, {file: file.name for file in files}) from None
        return number, seen

    def look(self, row: SearchRow, trial: int | None, source: str) -> tuple[int, dict[str, Any]]:
        """Return which trial looked, and where it looks in a source as it says its output.

        Raises:
            Problem: It reads images (409).
        """
        if reads_images(row):
            raise Problem(409, f"search {row.name!r} is of images; where its models look is not shown")
        record, [clean] = self.library.record(row), self._clean([source])
        number, digest = self._model(record, trial)
        return number, self.predictors.look(f"{row.id}-{digest}", lambda: self._bundle(record, trial), clean)

    def samples(self, row: SearchRow, trial: int) -> list[Example]:
        """Return what a trial makes of some sources of valid, where the task document shares them.

        Raises:
            Problem: It does not (403), or they are images (409).
        """
        if row.document.get("share_samples") is not True:
            raise Problem(403, "the task document shares no samples; share_samples = true would")
        if reads_images(row):
            raise Problem(409, f"search {row.name!r} is of images; its samples are not shown")
        examples = examples_of(row, self.options.cache, self.options.checkpoints, SAMPLES)
        outputs = self.predict(row, trial, [source for source, _ in examples])[1]
        return [
            Example(source=source, targets=list(targets), output=output)
            for (source, targets), output in zip(examples, outputs, strict=True)
        ]

    def _clean(self, sources: Sequence[str]) -> list[str]:
        """Return sources as they can be sent to a predictor.

        Raises:
            Problem: They are too many, or too long.
        """
        limits = self.options.limits
        if len(sources) > limits.sources or max(map(len, sources), default=0) > limits.source_characters:
            raise Problem(
                422, f"send {limits.sources:,} sources of {limits.source_characters:,} characters at most at a time"
            )
        return [source.encode("utf-8", "replace").decode() for source in sources]
