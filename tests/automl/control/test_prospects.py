"""What beginning an architecture costs: the seconds of those of its parts that no trial has had."""

from dataclasses import replace

import pytest

from automl.control.prospects import Compiled
from search_spaces.decoders import Transformer as Decoder
from search_spaces.dials import to_dict
from search_spaces.encoders import Identity, Transformer
from search_spaces.optimizers import Muon
from search_spaces.seq2seq import Seq2Seq
from tests.automl.control import test_history

DEFAULT, BLOCKS = Seq2Seq(), Seq2Seq(encoder=Transformer(), decoder=Decoder())


def compiled(*trials: tuple[Seq2Seq, float], in_parts: bool = True) -> Compiled:
    """What trials of these configurations leave, which compiled for so many seconds."""
    rows = [
        replace(test_history.row(number), configuration=to_dict(configuration))
        for number, (configuration, _) in enumerate(trials)
    ]
    segments = [
        replace(test_history.segment(number, 0, loss=1.0), seconds={"compiling": seconds})
        for number, (_, seconds) in enumerate(trials)
    ]
    return Compiled.of(test_history.history.restore(rows, segments).values(), in_parts=in_parts)


def test_another_recipe_compiles_nothing() -> None:
    assert compiled((DEFAULT, 8.0)).delay(replace(DEFAULT, dropout=0.1)) == 0
    assert compiled((DEFAULT, 8.0)).delay(replace(DEFAULT, optimizer=Muon())) > 0


def test_before_any_trial_in_parts_an_architecture_costs_what_others_did() -> None:
    assert compiled((DEFAULT, 8.0)).delay(BLOCKS) == 8


def test_another_depth_compiles_nothing_and_another_size_its_parts() -> None:
    known = compiled((DEFAULT, 8.0), (BLOCKS, 10.0))
    assert known.delay(replace(BLOCKS, decoder=Decoder(num_layers=4))) == 0
    assert 0 < known.delay(replace(BLOCKS, decoder=Decoder(model_size=64))) < 10


def test_the_first_trial_is_compiled_whole_and_leaves_no_parts() -> None:
    known = compiled((DEFAULT, 8.0), (BLOCKS, 10.0))
    deeper = replace(DEFAULT, encoder=replace(DEFAULT.encoder, num_layers=2))
    assert known.delay(deeper) > 2


def test_a_model_without_an_encoder_has_no_parts() -> None:
    assert compiled((DEFAULT, 8.0), (BLOCKS, 10.0)).delay(Seq2Seq(encoder=Identity())) == pytest.approx(9)


def test_where_every_model_is_compiled_whole_an_architecture_costs_what_others_did() -> None:
    assert compiled((DEFAULT, 8.0), (BLOCKS, 10.0), in_parts=False).delay(replace(BLOCKS, tied_embeddings=True)) == 9
