"""A child process that predicts from one bundle: JSON lines in, JSON lines out. It alone loads JAX.

Its arguments are the bundle's folder and the process id of the service, with which it ends.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from automl.data.images import size_of
from automl.errors import InputError
from automl.executors.child import die_with_parent

if TYPE_CHECKING:
    from automl.inference import Model


def main() -> None:
    """Load the bundle, say that it is ready, and answer until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    die_with_parent(int(sys.argv[2]))
    try:
        from automl.loading import load

        model = load(sys.argv[1])
    except InputError as error:
        _say(answers, {"wrong": str(error)})
        return
    _say(answers, {"ready": True})
    for line in sys.stdin:
        try:
            _say(answers, answer(model, json.loads(line)))
        except InputError as error:
            _say(answers, {"wrong": str(error)})


def answer(model: "Model", asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return outputs for `sources` or `images`, or for `look` where the model looks as it says its own output.

    Raises:
        InputError: A source is too long, an image is none, or the model reads other sources.
    """
    if model.reads_images != ("images" in asked):  # a text would be taken for a path on this machine
        raise InputError("this model reads images" if model.reads_images else "this model reads texts")
    if "images" in asked:
        return {"outputs": model.predict(asked["images"]), "sizes": [size_of(Path(path)) for path in asked["images"]]}
    if "look" not in asked:
        return {"outputs": model.predict(asked["sources"])}
    found = model.attention(asked["look"])
    weights = [[round(float(weight), 4) for weight in row] for row in found.weights]
    return {"looked": {"source": list(found.source), "target": list(found.target), "weights": weights}}


def _say(stream: TextIO, document: object) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
