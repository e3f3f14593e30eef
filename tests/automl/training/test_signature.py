import dataclasses
from typing import Any

import pytest

from automl.training.signature import signature
from search_spaces.attention import MultiHead
from search_spaces.decoders import Recurrent, Transformer
from search_spaces.encoders import Recurrent as RecurrentEncoder
from search_spaces.optimizers import AdamW, Muon
from search_spaces.schedules import Cosine, PolynomialAverage
from search_spaces.seq2seq import Seq2Seq

DEFAULT = signature(Seq2Seq(), 10, 11, 64)


@pytest.mark.parametrize(
    "dial",
    [
        {"dropout": 0.4},
        {"label_smoothing": 0.0},
        {"optimizer": AdamW(learning_rate=1.0)},
        {"optimizer": Muon()},
        {"schedule": Cosine(horizon=1)},
        {"averaging": PolynomialAverage()},
        {"batch_tokens": 4096},
        {"clipping": 0.1},
    ],
)
def test_dials_that_are_data_leave_it_as_it_is(dial: dict[str, Any]) -> None:
    same = signature(dataclasses.replace(Seq2Seq(), **dial), 10, 11, 64)
    assert (same, hash(same)) == (DEFAULT, hash(DEFAULT))


@pytest.mark.parametrize(
    "dial",
    [
        {"decoder": Transformer()},
        {"decoder": Recurrent(hidden_size=64)},
        {"decoder": Recurrent(cell="lstm")},
        {"decoder": Recurrent(attention=MultiHead())},
        {"encoder": RecurrentEncoder(num_layers=2)},
        {"encoder": RecurrentEncoder(bidirectional=False)},
    ],
)
def test_kinds_and_sizes_change_it(dial: dict[str, Any]) -> None:
    assert signature(dataclasses.replace(Seq2Seq(), **dial), 10, 11, 64) != DEFAULT


def test_vocabularies_and_batch_change_it() -> None:
    others = {signature(Seq2Seq(), *sizes) for sizes in [(9, 11, 64), (10, 9, 64), (10, 11, 32), (11, 10, 64)]}
    assert len(others | {DEFAULT}) == 5
