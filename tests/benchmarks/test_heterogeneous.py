import ast
import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.heterogeneous.__main__ import line, result
from benchmarks.heterogeneous.configurations import configurations, without_dropout
from benchmarks.heterogeneous.flax_trials import OneJitATrial
from benchmarks.heterogeneous.handover import hand_over, handed
from benchmarks.heterogeneous.ours import Alone
from benchmarks.heterogeneous.sides import Side, command
from benchmarks.peers import pytorch
from benchmarks.warm import table_of
from search_spaces import attention, decoders, embeddings, encoders, optimizers, outputs
from search_spaces.attention import MultiHead
from search_spaces.seq2seq import Seq2Seq

STEPS, WIDTH = 4, 32
SHARED = MultiHead(4, 2)
TINY = {
    "lstm, additive, copying, Adafactor": Seq2Seq(
        encoder=encoders.Recurrent("lstm", WIDTH, 1, True),
        decoder=decoders.Recurrent("lstm", WIDTH, 2, attention.Additive(WIDTH)),
        output=outputs.PointerGenerator(),
        optimizer=optimizers.Adafactor(),
    ),
    "Transformer, rotary and relative, shared heads, Muon": Seq2Seq(
        encoder=encoders.Transformer(WIDTH, 1, 2, SHARED, embeddings.Rotary(), "rms", True, "swiglu", 4),
        decoder=decoders.Transformer(WIDTH, 1, 2, SHARED, embeddings.RelativeBias(16), "layer", False, "gelu", 4),
        optimizer=optimizers.Muon(),
    ),
    "convolution, simple recurrence, Lion": Seq2Seq(
        encoder=encoders.Convolution(WIDTH, 1, 5, embeddings.Learned(64)),
        decoder=decoders.SimpleRecurrent(WIDTH, 1, 2, SHARED, "rms", True, "relu"),
        output=outputs.PointerGenerator(),
        optimizer=optimizers.Lion(),
    ),
    "minGRU, gru, local, AdamW": Seq2Seq(
        encoder=encoders.Recurrent("mingru", WIDTH, 2, True, True),
        decoder=decoders.Recurrent("gru", WIDTH, 2, attention.Local(2)),
        tied_embeddings=True,
    ),
}
PEER = os.environ.get("AUTOML_PYTORCH")
WORKER = """
import json, sys
print(json.dumps({"ready": "0"}), flush=True)
for line in sys.stdin:
    place = json.loads(line)["place"]
    said = {"cannot": "cell peephole"} if place == 2 else {"seconds": 1.5, "checked": [place + 0.25]}
    print(json.dumps(said), flush=True)
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_of(tmp_path_factory.mktemp("words") / "data", "abcdef", train=640, valid=8, seed=0)


def side(tmp_path, places):
    found = Side("fake", [sys.executable, "-c", WORKER], tmp_path)
    try:
        found.take(places, 1, 1)
    finally:
        found.close()
    return found


def test_the_list_has_64_configurations_none_of_them_twice():
    assert len(configurations()) == len(set(configurations())) == 64


def test_the_list_has_every_kind_and_widths_far_apart():
    listed = configurations()
    kinds = Counter(type(part) for own in listed for part in (own.encoder, own.decoder, own.optimizer))
    kinds += Counter(type(own.decoder.attention) for own in listed)
    wanted = {*encoders.Encoder.__args__, *decoders.Decoder.__args__, *optimizers.Optimizer.__args__}
    assert kinds.keys() == {*wanted, *attention.Attention.__args__} - {encoders.Identity}
    cells = {(*((type(part), getattr(part, "cell", "")) for part in (own.encoder, own.decoder)),) for own in listed}
    widths = [decoders.size_of(own.decoder) for own in listed]
    assert (len(listed), len(cells) >= 12, max(widths) >= 8 * min(widths)) == (64, True, True)


def test_every_side_gets_the_batches_that_ours_takes(table, tmp_path):
    configuration = TINY["minGRU, gru, local, AdamW"]
    hand_over(tmp_path, table, [(0, configuration)], STEPS)
    batches = np.load(tmp_path / "0.batches.npz")
    assert batches["source"].shape[:2] == batches["targets"].shape[:2] == (STEPS, 64)
    backwards = [row[row > 0][::-1] for row in batches["source"][0]]  # the targets are the sources backwards
    said = [row[row > 0][:-1] for row in batches["targets"][0]]
    assert all(np.array_equal(*pair) for pair in zip(backwards, said, strict=True))
    assert handed(tmp_path, 0)[0].configuration == configuration


def test_one_jit_a_trial_has_our_losses(table, tmp_path):
    configuration = TINY["minGRU, gru, local, AdamW"]
    hand_over(tmp_path, table, [(0, configuration)], STEPS)
    found = [own.losses(*handed(tmp_path, 0), 0, STEPS) for own in (Alone(tmp_path), OneJitATrial(tmp_path))]
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert len(set(found[0])) == STEPS


def test_a_side_names_what_it_cannot_build(tmp_path):
    found = side(tmp_path, range(5))
    assert found.cannot == {2: "cell peephole"}
    assert {place: own.get("checked") for place, own in found.answers.items()} == {
        place: None if place == 2 else [place + 0.25] for place in range(5)
    }
    assert found.total("seconds") == 6.0


def test_a_side_that_ends_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="a process of pytorch ended with code 3"):
        Side("pytorch", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def answered(name, answers):
    cannot = {place: own["cannot"] for place, own in answers.items() if "cannot" in own}
    spent = sum(own.get("seconds", 0.0) for own in answers.values())
    return SimpleNamespace(name=name, answers=answers, cannot=cannot, seconds=spent, total=lambda key: spent)


def test_losses_are_compared_and_a_side_that_lacks_one_has_no_ratio(table, tmp_path):
    found = hand_over(tmp_path, table, enumerate(TINY.values()), 1)[:2]
    ours = answered("ours", {n: {"seconds": 2.0, "checked": [1.0, 2.0]} for n in (0, 1)})
    flax = answered("flax", {n: {"seconds": 6.0, "checked": [1.0, 2.0 + n]} for n in (0, 1)})
    peer = answered("pytorch", {0: {"seconds": 1.0, "checked": [1.0, 2.0]}, 1: {"cannot": "encoder Identity"}})
    sides = [ours, flax, peer]
    lines = [line(place, each, sides) for place, each in enumerate(found)]
    assert [each["differences"] for each in lines] == [{"flax": 0.0, "pytorch": 0.0}, {"flax": 1.0}]
    assert lines[1]["cannot"] == {"pytorch": "encoder Identity"}
    outcome = result(found, sides, lines, 2, ("", ""))
    assert outcome.ratios == {"elapsed_flax": 3.0, "processor_flax": 3.0}
    assert (outcome.measured["signatures"], outcome.measured["pytorch_cannot_build"]) == (2, 1)
    assert outcome.measured["largest_difference_of_a_loss_flax"] == 1.0


def test_the_peer_knows_nothing_of_automl():
    for file in Path(pytorch.__file__).parent.glob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        roots = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        roots |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {
            root for root in roots if root.split(".")[0] in {"automl", "search_spaces", "storage", "jax", "flax"}
        }


@pytest.mark.skipif(not PEER, reason="AUTOML_PYTORCH names no interpreter that has PyTorch")
def test_pytorch_has_our_losses(table, tmp_path):
    listed = {name: replace(own, clipping=0.5) for name, own in TINY.items()}
    hand_over(tmp_path, table, enumerate(listed.values()), STEPS)
    peer = Side("pytorch", command("pytorch", tmp_path, PEER), tmp_path)
    try:
        peer.take(range(len(listed)), 1, STEPS)
    finally:
        peer.close()
    assert not peer.cannot
    ours = OneJitATrial(tmp_path)
    for place, name in enumerate(listed):
        own, values = handed(tmp_path, place)
        losses = ours.losses(own._replace(configuration=without_dropout(own.configuration)), values, place, STEPS)
        assert peer.answers[place]["checked"] == pytest.approx(losses, abs=1e-4), name


@pytest.mark.skipif(not PEER, reason="AUTOML_PYTORCH names no interpreter that has PyTorch")
def test_pytorch_names_a_kind_that_it_does_not_build(table, tmp_path):
    hand_over(tmp_path, table, [(0, TINY["minGRU, gru, local, AdamW"])], 1)
    document = json.loads((tmp_path / "0.json").read_text(encoding="utf-8"))
    document["optimizer"]["kind"] = "Sophia"
    (tmp_path / "0.json").write_text(json.dumps(document), encoding="utf-8")
    peer = Side("pytorch", command("pytorch", tmp_path, PEER), tmp_path)
    try:
        peer.take([0], 1, 1)
    finally:
        peer.close()
    assert peer.cannot == {0: "optimizer Sophia"}
