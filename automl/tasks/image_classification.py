"""An image in, one of a few classes out."""

from collections.abc import Mapping
from typing import Any, ClassVar

from automl.data.albums import read_album
from automl.data.forms import Form
from automl.tasks.classes import inspect_classes
from automl.tasks.profile import Profile
from automl.tasks.task import Task
from search_spaces.dials import Value

ALBUM = Form(
    "album",
    read_album,
    (".npz",),
    inspect_classes,
    prepare=str,
    reads_folders=True,
    reads_images=True,
    version=2,
)


class ImageClassification(Task):
    """Classification of images as sequence-to-sequence: places of the image in, a class as one token out."""

    kind: ClassVar[str] = "image_classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")
    form: ClassVar[Form] = ALBUM
    tokens: ClassVar[Mapping[str, str]] = {"source_tokens": "pixels", "target_tokens": "whole"}
    narrowed_space: ClassVar[Mapping[str, Any]] = {
        "output": "Softmax",
        "augmentation": "Varied",
        "augmentation.Varied.noise_objects": False,
        "encoder": ["Transformer", "Convolution"],
        "encoder.Transformer.positions": "Learned",
        "encoder.Transformer.num_layers": [1, 2],
        "encoder.Transformer.window": 0,
        "encoder.Convolution.positions": "Learned",
        "encoder.Convolution.num_layers": [1, 2],
        "encoder.Transformer.positions.Learned.length": 256,
        "encoder.Convolution.positions.Learned.length": 256,
        "decoder.Recurrent.num_layers": 1,
        "decoder.Recurrent.attention": ["Additive", "Dot", "General", "Concat", "MultiHead"],
        "decoder.Transformer.num_layers": 1,
        "decoder.SimpleRecurrent.num_layers": 1,
        "tied_embeddings": False,
        "batch_tokens": [256, 512, 1024, 2048, 4096],
    }
    preferred: ClassVar[Mapping[str, Value]] = {
        "encoder": "Convolution",
        "encoder.Convolution.num_layers": 1,
        "stem.Convolutions.stages": 3,
        "batch_tokens": 256,
    }

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say nothing: tables of texts are no images."""
        del profile
        return None
