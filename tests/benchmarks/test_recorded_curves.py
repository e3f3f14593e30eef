import json
import math
from statistics import fmean

import pytest

from benchmarks.recorded_curves.__main__ import main
from benchmarks.recorded_curves.peers import PEERS, full_training
from benchmarks.recorded_curves.search import Search
from benchmarks.recorded_curves.tables import DIALS, FINISHED_DIALS, curve_tables, finished_tables

RATES, SIZES, LAYERS = (0.0003, 0.0006, 0.001), (256, 512, 1024), (1, 2, 4)


def perplexity(rate, size, layers, checkpoint):
    floor = 6 + 2 * RATES.index(rate) + SIZES.index(size) + LAYERS.index(layers) ** 2
    return floor + 40 / checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recorded models of one made-up pair: the best has the lowest rate, size and number of layers."""
    dials = [(r, s, n) for r in RATES for s in SIZES for n in LAYERS]
    curves = [
        {
            "hyperparameters": {**dict(zip(DIALS, (r, s, 1024, n), strict=True)), "bpe": 8},
            "dev_perplexity": [perplexity(r, s, n, at) for at in range(1, 13)],
        }
        for r, s, n in dials
    ]
    finished = [
        {
            **dict(zip(FINISHED_DIALS, (4000, n, s, 1024, 8, r), strict=True)),
            "dev_perplexity": perplexity(r, s, n, 40),
            "dev_bleu": 40 - perplexity(r, s, n, 40),
        }
        for r, s, n in dials
    ]
    path = tmp_path_factory.mktemp("nmthpo")
    (path / "xx-en.json").write_text(json.dumps({"evaluations": finished, "learning_curves": curves}))
    return path


def test_a_table_knows_its_models_and_its_goal(folder):
    (table,) = curve_tables(folder)
    assert (table.name, len(table.curves)) == ("xx-en 8k", 27)
    assert table.goal == pytest.approx(math.log(1.01 * (6 + 40 / 12)))


def test_full_training_costs_what_random_order_costs(folder):
    (table,) = curve_tables(folder)
    assert full_training(table) == pytest.approx(26 / 2 * 12 + 12)


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_pays_at_least_for_the_best_model(folder, name):
    (table,) = curve_tables(folder)
    run = PEERS[name](table, 0)
    assert 12 <= run.cost <= 27 * 12


def test_promotion_and_ours_reach_the_goal_and_ours_pays_less_than_full_training(folder):
    (table,) = curve_tables(folder)
    runs = [Search(table, seed).until_goal() for seed in range(3)]
    assert all(run.reached for run in runs)
    assert PEERS["promotion ASHA"](table, 0).reached
    assert 12 <= fmean(run.cost for run in runs) < full_training(table) / 2


def test_the_best_of_the_finished_models_is_found_in_few_evaluations(folder):
    (table,) = finished_tables(folder)
    best = Search(table, 0).evaluate(15)
    assert len(best) == 15
    assert best == sorted(best, reverse=True)
    assert best[-1] - min(table.scores.values()) < 1.0


def test_the_benchmark_prints_one_document(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["recorded_curves", "--seeds", "1", "--data", str(folder), "--json"])
    main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["ratios"]["full_training"] > 1
    assert set(printed["measured"]["curves"][0]["ways"]) == {"ours", *PEERS}


def test_missing_data_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["recorded_curves", "--data", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="there is no such folder"):
        main()
