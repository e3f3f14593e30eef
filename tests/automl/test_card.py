import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from automl.bundle import write_bundle
from automl.card import Account, model_card
from automl.privacy import SAW, Terms
from tests.automl.bundles import Drawn

CONFIG = {
    "kind": "translation",
    "configuration": {"encoder": {"kind": "Recurrent"}, "decoder": {"kind": "Transformer"}},
    "decoding": {"method": "greedy", "max_length": 9},
    "max_source_length": 140,
}
ACCOUNT = Account(
    name="letters",
    config=CONFIG,
    scores={"valid": {"bleu": 12.0}, "test": {"bleu": 11.0}},
    deviations={"valid": {"bleu": 0.5}},
    signatures={"bleu": "nrefs:1|case:mixed"},
    splits={"train": {"rows": 1000}, "valid": {"rows": 50}},
    dropped={"train": {"duplicate": 7}},
    digest="ab" * 32,
    tokens={"source": ("characters", 30), "target": ("bytes", 260)},
    parameters=12_345,
    seconds=61.0,
    budget={"time": "1m", "trials": None},
    trials={"finished": 2, "paused": 1},
    space=["encoder: Recurrent, Transformer"],
    versions={"jax": "0.10"},
    licence="cc-by-4.0",
    membership={"told": 0.725, "train": 0.5, "valid": 0.75, "rows": 50},
)


def test_a_card_says_what_the_model_is_and_how_it_was_made() -> None:
    card = model_card(ACCOUNT)
    for said in (
        "12,345 parameters",
        "| valid | bleu | 12 | 0.5 |",
        "| test | bleu | 11 |  |",
        "`nrefs:1|case:mixed`",
        "train 1,000, valid 50; 7 dropped",
        "ab" * 32,
        "source characters (30), target bytes (260)",
        "Budget: time 1m. Spent: 61.0 seconds. Trials: 2 finished, 1 paused.",
        "encoder: Recurrent, Transformer",
        "jax 0.10",
        "72.5%",
        "0.5 nats a token on train, 0.75 on valid",
        "refused",
    ):
        assert said in card


def test_a_card_says_how_exposed_canaries_are_by_the_pairs_that_say_them() -> None:
    bits = [(0, 1.5, False), (1, 10.0, True), (1, 7.0, False)]
    found = [{"copies": copies, "bits": each, "most": 10.0, "said": said} for copies, each, said in bits]
    card = model_card(replace(ACCOUNT, exposure=found))
    assert "10 at most as measured" in card
    assert "| none | 1 | 1.5 (1.5 to 1.5) | 0 of 1 |\n| 1 | 2 | 8.5 (7.0 to 10.0) | 1 of 2 |" in card
    assert card.count("8.5 (7.0 to 10.0)") == 1


def test_a_card_says_that_no_canary_stood_in_train_unless_there_could_be_none() -> None:
    assert "no canary stood in train" in model_card(ACCOUNT)
    assert "canary" not in model_card(replace(ACCOUNT, says_texts=False))


def test_the_hub_reads_the_data_of_a_card() -> None:
    data = ModelCard(model_card(ACCOUNT)).data
    assert (data.license, data.pipeline_tag, data.model_name) == ("cc-by-4.0", "translation", "letters")
    found = [(r.dataset_split, r.metric_type, r.metric_value, r.metric_config) for r in data.eval_results or ()]
    signature = "nrefs:1|case:mixed"
    assert found == [("valid", "bleu", 12.0, signature), ("test", "bleu", 11.0, signature)]
    assert {r.dataset_revision for r in data.eval_results or ()} == {"ab" * 32}


def test_what_is_not_known_is_said_to_be_so() -> None:
    card = model_card(Account("x", CONFIG, {}))
    assert "license: unknown" in card
    assert "Not measured" in card
    assert "model-index" not in card


def test_a_card_warns_where_there_is_something_to_know_and_only_there() -> None:
    warned = model_card(replace(ACCOUNT, warning="trial 1 and trial 2 are within noise"))
    assert "\nTake care: trial 1 and trial 2 are within noise.\n" in warned
    assert "Take care" not in model_card(ACCOUNT)


def test_the_lines_that_load_a_model_are_four_and_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTOML_PROGRAM_KEY", str(tmp_path / "key"))
    bundle = Drawn(end=3.0).bundle()
    write_bundle(replace(bundle, card=model_card(replace(ACCOUNT, config=bundle.config))), tmp_path / "model")
    card = (tmp_path / "model/README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(code.splitlines()) == 4
    exec(code.replace("path/to/this/folder", str(tmp_path / "model")).replace("raw input", "abc"), {})
    assert re.fullmatch(r"\['[a-h]*'\]\n", capsys.readouterr().out)


TERMS = Terms(6.0, 1e-5, rows=1000, batch=50, steps=400, noise_multiplier=1.25, charged=300, epsilon_spent=5.125)


def test_the_card_of_a_private_winner_says_what_it_cost_and_what_else_saw_the_data() -> None:
    private = replace(ACCOUNT, privacy=TERMS.account(), membership=None, digest="")
    card = model_card(private)
    for said in (
        "is within epsilon 6\n",
        "come to epsilon 5.125; since their number may have depended on the data",
        "at delta 1e-05",
        "In each of 300 steps (at most 400)",
        "probability 0.05",
        "50 of 1,000",
        "1.25 times",
        *SAW,
    ):
        assert said in card
    for absent in ("without differential privacy", "Sha256 of the data", "there is no guarantee", "calls public"):
        assert absent not in card


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon_spent": None}, "is within epsilon 6\n"),
        ({"secret": False}, "there is no guarantee"),
    ],
)
def test_the_card_does_not_claim_more_than_is_known(changes: dict[str, object], said: str) -> None:
    card = model_card(replace(ACCOUNT, privacy=replace(TERMS, **changes).account()))
    assert said in card


def test_the_card_says_that_training_began_with_what_is_called_public() -> None:
    begun = replace(ACCOUNT, privacy=TERMS.account(), is_begun_elsewhere=True, seen=["cd" * 32])
    said = f"learnt without noise from files of sha256 `{'cd' * 32}`; a pair of train that stands there too is not"
    assert "which the task calls public" in model_card(begun)
    assert said in model_card(begun)


def test_the_card_says_which_private_search_its_beginning_owes_something_to() -> None:
    owed = {"search": "first", "epsilon": 6.0, "delta": 0.01}
    said = "private search `first`, whose pairs it may still hold within epsilon 6.0 at delta 0.01"
    assert said in model_card(replace(ACCOUNT, origins=[owed]))
    assert "private search" not in model_card(ACCOUNT)
