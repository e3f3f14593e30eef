"""An image in, the boxes and classes of its objects out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from automl.boxes import read_text, scaled
from automl.data.coco import files_of
from automl.data.forms import Form
from automl.data.scenes import read_scenes
from automl.data.sources import Pairs
from automl.errors import InputError
from automl.tasks.classes import of_same, scripts_of
from automl.tasks.image_classification import ImageClassification
from automl.tasks.profile import Profile
from automl.tasks.task import Task
from search_spaces.dials import Value


def inspect_scenes(files: Mapping[str, Pairs]) -> Sequence[str]:
    """Say what a person should know of the boxes of a task.

    Raises:
        InputError: Train has none, or most of a split's are of classes that train lacks.
    """
    counts = Counter(label for _, label in _labels(files["train"]))
    if not counts:
        raise InputError(f"{files['train'].path}: no image has a box; give annotations with a bbox")
    said = [notice for pairs in files.values() for notice in pairs.notices]
    said.append(
        f"train: {counts.total():,} boxes of {len(counts):,} classes, "
        f"{min(counts.values()):,} to {max(counts.values()):,} of each"
    )
    said += of_same(counts)
    if len(scripts := scripts_of(counts)) > 1:
        said.append(f"train: classes are written in {' and '.join(scripts)}: are these two languages for the same?")
    return said + [notice for split, pairs in files.items() for notice in _unseen(split, pairs, counts)]


def _labels(pairs: Pairs) -> list[tuple[int, str]]:
    """Return the number of the row and the class of each box."""
    rows = zip(pairs.numbers, pairs.targets, strict=True)
    return [(number, box.label) for number, texts in rows for box in read_text(texts[0])]


def _unseen(split: str, pairs: Pairs, counts: Counter[str]) -> Sequence[str]:
    own = _labels(pairs)
    unseen = [number for number, label in own if label not in counts]
    if not unseen:
        return []
    first = f"the first on {pairs.where(unseen[0])}"
    if 2 * len(unseen) > len(own):
        raise InputError(
            f"{pairs.path}: most of its boxes are of classes that train lacks ({first}); split the data anew"
        )
    said = f"{len(unseen):,} of {len(own):,} boxes are of classes that train lacks ({first}); no model can say them"
    return [f"{split}: {said}"]


SCENES = Form(
    "scenes",
    read_scenes,
    (".json",),
    inspect_scenes,
    prepare=str,
    reads_images=True,
    parts=files_of,
    scaled=scaled,
    version=2,
)


class ObjectDetection(Task):
    """Detection as sequence-to-sequence (Chen et al., 2022): five tokens an object, its edges and its class."""

    kind: ClassVar[str] = "object_detection"
    metrics: ClassVar[tuple[str, ...]] = ("mean_average_precision_50", "mean_average_precision")
    form: ClassVar[Form] = SCENES
    tokens: ClassVar[Mapping[str, str]] = {"source_tokens": "pixels", "target_tokens": "boxes"}
    narrowed_space: ClassVar[Mapping[str, Any]] = {
        name: left
        for name, left in ImageClassification.narrowed_space.items()
        if name == "decoder.Recurrent.attention" or not name.startswith(("decoder.", "batch_tokens"))
    } | {
        "augmentation.Varied.shift": 0.0,
        "augmentation.Varied.zoom": 0.0,
        "augmentation.Varied.noise_objects": [False, True],
        "decoder": ["Transformer", "SimpleRecurrent"],
    }
    preferred: ClassVar[Mapping[str, Value]] = {"stem.Convolutions.filters": 16}

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say nothing: tables of texts are no images."""
        del profile
        return None
