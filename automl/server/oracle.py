"""A child process that predicts from one bundle: JSON lines in, JSON lines out. It alone loads JAX.

Its arguments are the bundle's folder and the process id of the service, with which it ends.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

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
        from automl.bundle import read_bundle
        from automl.inference import Model
        from automl.settings import Settings
        from automl.training.cache import program_folder

        model = Model(read_bundle(Path(sys.argv[1])), program_folder(Settings()))
        if model.reads_images:  # a source would be a path on this machine
            raise InputError("a model of images is not asked over HTTP; take it home and use automl predict")
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
    """Return outputs for `sources`, or for `look` where the model looks as it says its own output.

    Raises:
        InputError: A source is too long, or the model reads none.
    """
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
