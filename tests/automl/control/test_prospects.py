"""What beginning an architecture costs: nothing where it was trained before, else what others cost."""

from collections.abc import Iterable
from dataclasses import replace

from automl.control.decisions import Prospect
from automl.control.history import Trial
from automl.control.proposals import Proposal
from automl.control.prospects import Compiled, prospects
from search_spaces.decoders import Transformer as Decoder
from search_spaces.dials import to_dict
from search_spaces.encoders import Transformer
from search_spaces.optimizers import Muon
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import space
from storage.schema import altered
from tests.automl.control import test_history

DEFAULT, BLOCKS = Seq2Seq(), Seq2Seq(encoder=Transformer(), decoder=Decoder())
WIDER = space().wider(DEFAULT) or DEFAULT


def weighed(proposal: Proposal, trials: Iterable[Trial], *, together: bool = False) -> list[Prospect]:
    """One proposal beside trials, where wider models are expected to take four times as long."""

    def expected(configuration: Seq2Seq) -> float:
        return 1.0 if configuration == DEFAULT else 4.0

    return prospects([proposal], trials, lambda _: (), expected, together=together)


def compiled(*trials: tuple[Seq2Seq, float]) -> Compiled:
    """What trials of these configurations leave, which compiled for so many seconds."""
    rows = [
        replace(test_history.row(number), configuration=to_dict(configuration))
        for number, (configuration, _) in enumerate(trials)
    ]
    segments = [
        replace(test_history.segment(number, 0, loss=1.0), seconds={"compiling": seconds})
        for number, (_, seconds) in enumerate(trials)
    ]
    return Compiled.of(test_history.history.restore(rows, segments).values())


def test_another_recipe_compiles_nothing() -> None:
    assert compiled((DEFAULT, 8.0)).delay(replace(DEFAULT, dropout=0.1)) == 0
    assert compiled((DEFAULT, 8.0)).delay(replace(DEFAULT, optimizer=Muon())) > 0


def test_another_architecture_costs_what_others_did() -> None:
    assert compiled((DEFAULT, 8.0)).delay(BLOCKS) == 8
    assert compiled((DEFAULT, 8.0), (BLOCKS, 10.0)).delay(replace(BLOCKS, tied_embeddings=True)) == 9


def test_before_any_trial_nothing_is_known_of_what_one_costs() -> None:
    assert compiled().delay(DEFAULT) == 0


def test_how_fast_a_copy_of_a_trial_was_says_nothing() -> None:
    """Its tokens are those of its parent, too."""
    found = test_history.trials((0.5, 1.0))
    found[0].row = altered(found[0].row, checkpoint="0-0", step=10)
    found[1] = test_history.history.branch(found[0], 1)
    (alone,) = weighed(Proposal(DEFAULT, "default"), [found[0]])
    found[1].advance(test_history.segment(1, 1, loss=0.5, sequence_error_rate=0.25), 5, complete=True)
    assert weighed(Proposal(DEFAULT, "default"), found.values()) == [alone]


def test_a_wider_version_is_as_much_slower_as_it_computes_more() -> None:
    trial = test_history.trials((0.5, 1.0))[0]
    trial = replace(trial, configuration=DEFAULT)
    (before,) = weighed(Proposal(DEFAULT, "default"), [trial])
    (wider,) = weighed(Proposal(WIDER, "wider", DEFAULT), [trial])
    assert before.tokens_per_second is not None
    assert (wider.tokens_per_second, wider.wider_than) == (before.tokens_per_second / 4, 0)


def test_where_like_models_train_together_a_narrower_one_compiles_nothing() -> None:
    trial = replace(test_history.trials((0.5, 1.0))[0], configuration=DEFAULT)
    narrower = Proposal(replace(DEFAULT, encoder=replace(DEFAULT.encoder, hidden_size=64)), "neighbour")
    (apart,), (beside,) = (weighed(narrower, [trial], together=together) for together in (False, True))
    assert (apart.delay, beside.delay) == (2.0, 0.0)


def test_what_others_are_compiling_now_delays_nobody_who_trains_with_them() -> None:
    trial = replace(test_history.trials((0.5, 1.0))[0], configuration=DEFAULT)
    begun = Trial(test_history.row(1), BLOCKS, in_flight=True)
    for number, delay in ((1, 2.0), (2, 0.0)):
        (found,) = weighed(Proposal(replace(BLOCKS, dropout=0.2), "recipe"), [trial, begun][:number], together=True)
        assert found.delay == delay


def test_a_wider_version_in_the_same_program_is_as_fast() -> None:
    narrow = replace(DEFAULT, encoder=replace(DEFAULT.encoder, hidden_size=32))
    trial = replace(test_history.trials((0.5, 1.0))[0], configuration=narrow)
    wider = replace(DEFAULT, encoder=replace(DEFAULT.encoder, hidden_size=64))
    for together, times in ((True, 1), (False, 4)):
        (before,) = weighed(Proposal(narrow, "default"), [trial], together=together)
        found = prospects(
            [Proposal(wider, "wider", narrow)],
            [trial],
            lambda _: (),
            lambda configuration: 4.0 if configuration == wider else 1.0,
            together=together,
        )
        assert before.tokens_per_second == found[0].tokens_per_second * times
