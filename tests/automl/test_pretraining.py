"""What pre-training and fine-tuning keep: shape, tokenizers, what is held, and that all is had again."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from automl.bundle import read_bundle, write_bundle
from automl.errors import InputError
from automl.planning import space_of
from automl.pretraining import bundle_shape, fine_tuning_space, held, pretraining_document
from automl.tasks.document import TaskDocument, document_from_mapping
from search_spaces.dials import SpaceError, to_dict
from search_spaces.seq2seq import BEGUN, Seq2Seq
from search_spaces.stems import Convolutions
from tests.automl.bundles import SMALL, Drawn
from tests.automl.command_line import DOCUMENT, Finished, automl, here

TEXT = '[pretraining]\nunlabelled = "text.txt"\nshare = 0.5\npasses = 2\n'
FROM = '[data]\ntrain = "more.tsv"\n[pretraining]\nfrom = "models/copy"\n'
INLINE = ("--executor", "inline", "--json")
SEARCH = ("search", "copy.toml", "--trials", "2", *INLINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words to be copied, texts of such words, and words to be said backwards."""
    folder, draw = tmp_path_factory.mktemp("pretraining"), random.Random(0)
    words = list(dict.fromkeys("".join(draw.choices("abcd", k=draw.randint(2, 4))) for _ in range(150)))[:100]
    (folder / "train.tsv").write_text("".join(f"{word}\t{word}\n" for word in words[:50]))
    (folder / "test.tsv").write_text("".join(f"{word}\t{word}\n" for word in words[50:60]))
    (folder / "more.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    (folder / "text.txt").write_text("".join(" ".join(draw.choices(words, k=5)) + "\n" for _ in range(60)))
    (folder / "copy.toml").write_text(DOCUMENT + TEXT)
    (folder / "more.toml").write_text(FROM)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Finished:
    return here(folder, *SEARCH)


@pytest.fixture(scope="module")
def tuned(folder: Path, found: Finished) -> Finished:
    return here(folder, "search", "more.toml", "--trials", "2", *INLINE)


def test_trials_begin_with_the_pretraining_and_keep_its_shape(folder: Path, found: Finished) -> None:
    assert found.code == 0, found.err
    assert "pre-training, as search copy.denoising" in found.err
    (status,) = here(folder, "status", "copy.denoising", "--json").json["searches"]
    before, after = status["best"]["configuration"], found.json["best"]["configuration"]
    assert (before["start"], after["start"]) == ("drawn", "denoising")
    assert {key: before[key] for key in before if key not in BEGUN} == {
        key: after[key] for key in after if key not in BEGUN
    }


def test_the_same_command_again_trains_nothing(folder: Path, found: Finished) -> None:
    again = automl(folder, *SEARCH)
    assert again.json["best"] == found.json["best"]
    assert not again.computes


def test_fine_tuning_keeps_tokenizers_and_shape_of_its_bundle(folder: Path, tuned: Finished) -> None:
    assert tuned.code == 0, tuned.err
    first, second = read_bundle(folder / "models/copy"), read_bundle(folder / "models/more")
    assert (first.source_tokenizer, first.target_tokenizer) == (second.source_tokenizer, second.target_tokenizer)
    shapes = [{name: value.shape for name, value in each.weights.items()} for each in (first, second)]
    assert shapes[0] == shapes[1]
    assert second.config["configuration"]["start"] == "bundle"


def test_a_decoder_is_tuned_alone_and_the_encoder_stays_to_the_bit(folder: Path, tuned: Finished) -> None:
    (folder / "alone.toml").write_text(FROM + '[space]\ntuned = "decoder"\n')
    alone = here(folder, "search", "alone.toml", "--trials", "1", *INLINE)
    assert alone.code == 0, alone.err
    before, after = (load_file(folder / "models" / name / "model.safetensors") for name in ("copy", "alone"))
    same = {name: np.array_equal(before[name], after[name]) for name in before}
    assert all(same[name] for name in same if name.startswith("encoder."))
    assert not any(same[name] for name in same if name.endswith("kernel") and name.startswith("decoder."))


def test_lora_changes_matrices_alone_and_leaves_an_ordinary_bundle(folder: Path, tuned: Finished) -> None:
    first = '[budget]\ntrials = 1\ntarget = "sequence_error_rate<=2"\n'
    (folder / "added.toml").write_text(FROM + first + '[space]\ntuned = "lora"\nlora_rank = 4\n')
    added = here(folder, "search", "added.toml", *INLINE)
    assert added.code == 0, added.err
    before, after = (load_file(folder / "models" / name / "model.safetensors") for name in ("copy", "added"))
    assert {name: value.shape for name, value in before.items()} == {name: v.shape for name, v in after.items()}
    same = {name: np.array_equal(before[name], after[name]) for name in before}
    assert all(same[name] for name in same if name.endswith((".bias", ".table")))
    assert not any(same[name] for name in same if name.endswith("kernel"))
    assert (added.json["best"]["configuration"]["tuned"], added.json["best"]["configuration"]["lora_rank"]) == (
        "lora",
        4,
    )
    assert "more were trained and added to its matrices, by LoRA of rank 4" in (
        folder / "models/added/README.md"
    ).read_text(encoding="utf-8")
    scored = here(folder, "evaluate", "models/added", "test.tsv", "--json").json["metrics"]
    assert 0 <= scored["sequence_error_rate"] <= 1


@pytest.mark.parametrize("objectives", [["causal"], ["masked", "causal"]])
def test_every_objective_is_one_that_trials_begin_with(folder: Path, objectives: list[str]) -> None:
    name, first = "-".join(objectives), '[budget]\ntrials = 1\ntarget = "sequence_error_rate<=1"\n'
    (folder / f"{name}.toml").write_text(DOCUMENT + first + TEXT + f"objective = {objectives}\n")
    done = here(folder, "search", f"{name}.toml", *INLINE)
    assert done.code == 0, done.err
    for each in objectives:
        assert f"pre-training, as search {name}.{each}" in done.err
        (status,) = here(folder, "status", f"{name}.{each}", "--json").json["searches"]
        assert status["state"] == "finished"
    assert done.json["best"]["configuration"]["start"] == objectives[0]


def test_what_a_bundle_cannot_say_is_refused(folder: Path, found: Finished) -> None:
    (folder / "strange.tsv").write_text("".join(f"ab{c}\tлы{c}\n" for c in "ёйцукенгшщзхъ"))
    (folder / "strange.toml").write_text(FROM.replace("more.tsv", "strange.tsv"))
    refused = here(folder, "search", "strange.toml", "--trials", "1")
    assert refused.code == 2
    assert "target tokens are unknown to the model that is trained further, which keeps its tokenizer" in refused.err


def document(folder: Path, **pretraining: object) -> TaskDocument:
    data = {"train": "train.tsv", "source_tokens": "characters", "target_tokens": "characters"}
    mapping = {"name": "x", "data": data, "pretraining": pretraining, "budget": {"time": 100, "trials": 9}}
    return document_from_mapping(mapping, folder)


def test_a_pretraining_has_its_share_of_the_budget_and_one_trial(folder: Path) -> None:
    both = document(folder, unlabelled="text.txt", objective=["denoising", "causal"], share=0.5)
    found = [pretraining_document(both, objective) for objective in ("denoising", "causal")]
    assert [each.name for each in found] == ["x.denoising", "x.causal"]
    assert all((each.limits.time, each.limits.trials) == (25.0, 1) for each in found)
    assert [each.data.pairs for each in found] == ["denoising", "causal"]
    assert space_of(both).ranges["start"].values == ("denoising", "causal")  # type: ignore[union-attr]


def test_dials_of_the_shape_that_a_pretraining_holds_are_named(folder: Path) -> None:
    wanted = document(folder, unlabelled="text.txt")
    space = {"preset": "tiny", "encoder": ["Recurrent", "Transformer"], "decoder": "Recurrent", "dropout": [0.1, 0.2]}
    assert held(wanted) == []
    assert held(wanted.model_copy(update={"space": space})) == ["encoder"]


@pytest.mark.parametrize(
    ("pretraining", "message"),
    [
        ({}, "needs either unlabelled, a file of texts, or from, a bundle"),
        ({"unlabelled": "a.txt", "from": "b"}, "needs either"),
        ({"from": "b", "share": 0.2}, "leave them out beside from"),
        (
            {"unlabelled": "a.txt", "objective": "guessing"},
            r"\[pretraining\] objective must be denoising, masked or causal",
        ),
        ({"unlabelled": "a.txt", "share": 1.0}, "share must be the part of the budget, between 0 and 1"),
    ],
)
def test_a_pretraining_that_cannot_be_is_refused(folder: Path, pretraining: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        document(folder, **pretraining)


def test_a_model_of_images_is_no_beginning_for_texts(folder: Path, tmp_path: Path) -> None:
    config = to_dict(replace(SMALL, stem=Convolutions()))
    write_bundle(Drawn().bundle(configuration=config), tmp_path / "images")
    with pytest.raises(InputError, match="images reads images, unlike kind 'sequence_to_sequence'; name a bundle that"):
        bundle_shape(document(folder, **{"from": str(tmp_path / "images")}))


def test_only_what_trains_a_bundle_can_be_narrowed(folder: Path) -> None:
    wanted = document(folder, **{"from": "b"})
    shape = Seq2Seq()
    narrowed = wanted.model_copy(update={"space": {"dropout": [0.0, 0.1], "preset": "small"}})
    space = fine_tuning_space(narrowed, shape)
    assert space.default().dropout == 0.1
    assert {path.split(".")[0] for path in space.reached() if list(space.free(path))} <= set(BEGUN)
    assert space.ranges["tuned"].values == ("whole", "decoder", "lora")  # type: ignore[union-attr]
    for wrong, said in {
        "hidden_size": r"space\.hidden_size: fine-tuning keeps the shape",
        "lora_rank": r"space\.lora_rank is for tuned = 'lora', and tuned leaves whole",
    }.items():
        with pytest.raises(SpaceError, match=said):
            fine_tuning_space(wanted.model_copy(update={"space": {wrong: 8, "tuned": "whole"}}), shape)


@pytest.mark.parametrize("dial", ["tuned", "start", "lora_rank"])
def test_dials_of_what_has_begun_need_a_beginning(tmp_path: Path, dial: str) -> None:
    space = {"tuned": "decoder", "start": "causal", "lora_rank": 4}
    wanted = document_from_mapping({"name": "x", "data": {"train": "a.tsv"}, "space": {dial: space[dial]}}, tmp_path)
    with pytest.raises(
        InputError, match=rf"\[space\] {dial} is for training that has begun before; give \[pretraining\]"
    ):
        space_of(wanted)


def test_an_ensemble_and_a_model_of_another_kind_are_not_fine_tuned(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("a\tb\n")
    single = Drawn().bundle()
    write_bundle(single, tmp_path / "one")
    write_bundle(Drawn().bundle(members=[single.config["configuration"]]), tmp_path / "two")
    wanted = document(tmp_path, **{"from": "one"})
    assert bundle_shape(wanted) == SMALL
    with pytest.raises(InputError, match=r"one reads a source, unlike kind 'generation'"):
        bundle_shape(wanted.model_copy(update={"kind": "generation"}))
    with pytest.raises(InputError, match=r"two is an ensemble; export one of its trials"):
        bundle_shape(document(tmp_path, **{"from": "two"}))
