"""Storage under faults: a quick form with every test run, the counted form by `make torture`."""

import os

FULL = os.environ.get("AUTOML_TORTURE") == "1"


def times(quick: int, full: int) -> int:
    return full if FULL else quick
