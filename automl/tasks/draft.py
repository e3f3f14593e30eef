"""A draft: the task document that fits some data, with what was seen and why it says what it says."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.data.headers import WEIGHT_NAMES
from automl.data.raw import RawTable, find_files, read_raw
from automl.errors import InputError
from automl.tasks import TASKS
from automl.tasks.document import TaskDocument, document_from_mapping, read_document
from automl.tasks.image_draft import OF_IMAGES, ImageDraft, find_albums, find_scenes, propose_images
from automl.tasks.profile import SHOWN_CLASSES, ColumnProfile, Lengths, Profile, profile

DEFAULT_TIME = "10m"
"""Time budget of a search whose document sets no limit."""
REASONS = {
    "whitespace": "few symbols that recur, such as phones or commands, divided by spaces",
    "subwords": "running text: the search chooses their size",
    "characters": "words or short texts",
}


@dataclass(frozen=True)
class Draft:
    """A proposed document.

    Attributes:
        files: File of each split.
        seen: What was seen of them.
        kind: The kind of task, and `why`.
    """

    name: str
    files: dict[str, Path]
    seen: Profile
    kind: str
    why: str

    @property
    def warnings(self) -> list[str]:
        """What is wrong or would mislead, one sentence each."""
        return list(_warnings(self.seen, recurring=TASKS[self.kind].form.recurring))

    def data(self, folder: Path) -> dict[str, Any]:
        """Return `[data]`, its paths relative to a folder."""
        columns = {"source": self.seen.source, "target": self.seen.target}
        paths = {name: _path_from(folder, path) for name, path in self.files.items()}
        if self._is_usual():
            return paths
        named: dict[str, Any] = {side: column.column for side, column in columns.items() if column is not None}
        if self.seen.unread:
            named["target"] = [named["target"]]
        return paths | named

    def _is_usual(self) -> bool:
        """Whether the columns are where a document that names none looks for them."""
        source, target = self.seen.source, self.seen.target
        usual = source is not None and (source.column, target.column) in ((0, 1), ("source", "target"))
        return source is None or (usual and not self.seen.unread)

    def to_mapping(self, folder: Path = Path()) -> dict[str, Any]:
        """Return the document as a mapping with paths relative to a folder."""
        return {"name": self.name, "kind": self.kind, "data": self.data(folder)}

    def to_toml(self, folder: Path) -> str:
        """Return the document as TOML, with comments, to be put into a folder."""
        return "\n".join(_document(self, folder)) + "\n"


def draft(data: Path) -> Draft | ImageDraft:
    """Look at a file, or at a folder with a file for each split, or at images, and propose a document.

    Raises:
        InputError: There is nothing to learn from, or a file cannot be read.
    """
    return proposal(name_of(data), find_scenes(data) or find_albums(data) or find_files(data))


def proposal(name: str, files: Mapping[str, Path]) -> Draft | ImageDraft:
    """Look at the file or the folder of each split, and propose a document.

    Raises:
        InputError: There is nothing to learn from, or one cannot be read.
    """
    if files["train"].is_dir() or files["train"].suffix.lower() in OF_IMAGES:
        return propose_images(name, files)
    return propose(name, {split: read_raw(path) for split, path in files.items()})


def propose(name: str, tables: dict[str, RawTable]) -> Draft:
    """Propose a document for some tables.

    Raises:
        InputError: No kind of task suits them.
    """
    seen = profile(tables)
    files = {split: table.path for split, table in tables.items()}
    for kind, task in TASKS.items():
        if why := task.suits(seen):
            return Draft(name, files, seen, kind, why)
    found = f"only column {seen.target.column} has texts to learn from" if seen.others else "every row has one column"
    raise InputError(
        f"{files['train']}: {found}; a row needs a source and a target, or texts alone stand in a .txt file, one a line"
    )


def document_for(path: Path) -> tuple[TaskDocument, Draft | ImageDraft | None]:
    """Return a task document, or the one proposed for data where a path names these.

    Raises:
        InputError: It is wrong.
    """
    if path.suffix == ".toml":
        return read_document(path), None
    proposed = draft(path)
    return document_from_mapping(proposed.to_mapping(), Path(), str(path)), proposed


def _path_from(folder: Path, path: Path) -> str:
    relative = os.path.relpath(path, folder)
    return str(path.absolute()) if relative.startswith("..") else relative


def name_of(data: Path) -> str:
    """Return the name of a search on some data."""
    path = data.absolute()
    name = path.parent.name if path.stem == "train" else path.stem
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:100] or "task"


def _document(of: Draft, folder: Path) -> Iterator[str]:
    seen, data = of.seen, of.data(folder)
    yield f"# {seen.rows['train']:,} rows of train were looked at. Change what is wrong; automl search runs it."
    yield f"name = {_value(of.name)}"
    yield f"kind = {_value(of.kind)}  # {of.why}"
    yield "\n[data]"
    for split, path in of.files.items():
        count = f"{seen.rows[split]:,} rows" + ("" if seen.whole else ", at least")
        yield f"{split} = {_value(data[split])}  # {path.suffix.lstrip('.')}, {count}"
    held = [split for split in ("valid", "test") if split not in of.files]
    if held:
        yield f"# {' and '.join(held)} will be held out of train: a tenth of its sources each, 2,000 at most"
    for side, column in (("source", seen.source), ("target", seen.target)):
        if column is not None:
            yield from _column(side, column, data.get(side), headed=seen.headed)
            if f"{side}_tokens" not in TASKS[of.kind].tokens:
                yield f"{side}_tokens = {_value(column.tokens)}  # {REASONS[column.tokens]}"
    yield from _others(seen)
    yield "\n[metric]"
    metrics = TASKS[of.kind].metrics
    yield f"name = {_value(metrics[0])}" + (f"  # or {', '.join(metrics[1:])}" if metrics[1:] else "")
    yield "\n[budget]"
    yield f"time = {_value(DEFAULT_TIME)}"
    yield from _findings(of)


def _column(side: str, column: ColumnProfile, named: Any, *, headed: bool) -> Iterator[str]:
    place = "by the header" if headed else "no header: columns are counted from 0"
    yield f"{'' if named is not None else '# '}{side} = {_value(column.column if named is None else named)}  # {place}"
    yield f"# {side}: {column.distinct:,} different texts, {column.empty:,} empty"
    yield f"# {side}: {_lengths(column.characters)} characters, {_lengths(column.words)} words"
    scripts = ", ".join(f"{script} {share:.0%}" for script, share in column.scripts if share >= 0.005)
    yield f"# {side}: {column.alphabet:,} different characters; letters: {scripts or 'none'}"


def _others(seen: Profile) -> Iterator[str]:
    for other in () if seen.unread else seen.further:
        yield f"# further targets: column {_value(other.column)}, which {other.rows - other.empty:,} rows have"
    for other in (each for each in seen.others if seen.unread or each not in seen.further):
        yield f"# not used: column {_value(other.column)}, {other.distinct:,} different texts, {other.empty:,} empty"
    if seen.source is None or not seen.others:
        return
    weight = next((each.column for each in seen.others if str(each.column).casefold() in WEIGHT_NAMES), None)
    further = [each.column for each in seen.others if each.column != weight and each not in seen.further]
    if seen.unread:
        targets = _value([seen.target.column, *(each.column for each in (*seen.further, *seen.unread))])
        yield f"# target = {targets}  # would take each of these columns for one more acceptable target"
    if further:
        columns = _value([seen.source.column, *further])
        yield f"# source = {columns}  # would read these columns as one text, each behind a mark of its own"
    if weight is not None:
        yield f"# weight = {_value(weight)}  # would let rows count by it, in training and in the score"


def _lengths(lengths: Lengths) -> str:
    return f"{lengths.least:,} to {lengths.most:,} (mean {lengths.mean:.1f}, 99 % up to {lengths.usual:,})"


def _findings(of: Draft) -> Iterator[str]:
    seen = of.seen
    if seen.classes:
        total = sum(count for _, count in seen.classes)
        shown = seen.classes[:SHOWN_CLASSES]
        yield f"\n# {len(seen.classes):,} classes:"
        yield from (f"#   {_value(name[:40])}: {count:,} ({count / total:.1%})" for name, count in shown)
        if len(seen.classes) > len(shown):
            rest = seen.classes[len(shown) :]
            yield f"#   and {len(rest):,} more, the rarest in {rest[-1][1]:,} rows"
    if of.warnings:
        yield "\n# Look at this before you trust a score:"
        yield from (f"# - {warning}" for warning in of.warnings)


def _warnings(seen: Profile, *, recurring: bool) -> Iterator[str]:
    if not seen.whole:
        yield "only the first rows were looked at"
    for side, column in (("source", seen.source), ("target", seen.target)):
        if column is not None and column.empty:
            yield f"train: rows without a {side}, which are dropped: {column.empty:,}"
    for split, rows in seen.wide.items():
        if rows:
            yield f"{split}: rows with more fields than the header, which are not read: {rows:,}; are quotes missing?"
    if seen.repeated:
        yield f"train: rows that say again what another one says, which are dropped: {seen.repeated:,}"
    if seen.unread:
        columns = ", ".join(str(each.column) for each in seen.unread)
        yield f"columns behind the target, which are not read: {columns}; are they further acceptable targets?"
    if seen.ambiguous:
        yield f"train: sources with several targets, each taken for acceptable: {seen.ambiguous:,}"
    yield from _leaks(seen, recurring=recurring)
    yield from (
        f"{split}: targets longer than any of train: {count:,}; few models learn to go on for longer"
        for split, count in seen.longer.items()
        if count
    )
    yield from _class_warnings(seen)


def _leaks(seen: Profile, *, recurring: bool) -> Iterator[str]:
    dropped = "" if recurring else ", where they are dropped"
    for split, shared in seen.leaks.items():
        near = seen.near_leaks[split] - shared
        if shared:
            yield f"{split}: sources that are also in train{dropped}: {shared:,}"
        if near > 0:
            yield f"{split}: sources in train but for case, accents, digits, punctuation: {near:,}; scores may flatter"


def _class_warnings(seen: Profile) -> Iterator[str]:
    if not seen.classes:
        return
    (_, most), (_, least) = seen.classes[0], seen.classes[-1]
    if most >= 10 * least:
        yield f"classes: from {least:,} to {most:,} rows each; accuracy hides the rare ones, macro_f1 does not"
    if seen.alike_classes:
        yield f"classes that differ from another by case, spaces or hyphens: {seen.alike_classes:,}; make them one"
    if len(seen.class_scripts) > 1:
        yield f"classes are written in {' and '.join(seen.class_scripts)}: are these two languages for the same?"
    for split, rows in seen.unseen_classes.items():
        if rows:
            yield f"{split}: rows of classes that train lacks, which no model can say: {rows:,}"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
