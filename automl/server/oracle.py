"""A child process that predicts from one bundle: JSON lines in, JSON lines out. It alone loads JAX.

Its arguments are the bundle's folder and the process id of the service, with which it ends.
"""

import json
import os
import sys
from pathlib import Path
from typing import TextIO

from automl.errors import InputError
from automl.executors.child import die_with_parent


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
            _say(answers, {"outputs": model.predict(json.loads(line)["sources"])})
        except InputError as error:
            _say(answers, {"wrong": str(error)})


def _say(stream: TextIO, document: object) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
