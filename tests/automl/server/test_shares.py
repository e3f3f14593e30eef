"""No account stops the others: threads, seats of watchers, forms in the making and downloads are shared."""

import asyncio
import io
import os
import threading
import zipfile

import pytest

from automl.server.downloads import PIECE, zipped
from automl.server.exports import MOST_OF_ONE, Exports
from automl.server.lanes import MOST_WAITING, SEATS_SHARE, SLOW, THREADS_SHARE, Lane, Seats
from automl.server.problems import Problem


def test_an_account_has_a_third_of_the_threads_and_the_others_go_on():
    at_work, go = [], threading.Event()

    def work():
        at_work.append(1)
        assert go.wait(60)

    async def all_of_it():
        lane = Lane(SLOW)
        jobs = [asyncio.create_task(lane.run("ada", work)) for _ in range(SLOW + 1)]
        while len(at_work) < SLOW // THREADS_SHARE:
            await asyncio.sleep(0.01)
        answer = await lane.run("bob", lambda: (len(at_work), "bob's"))
        go.set()
        await asyncio.gather(*jobs)
        return answer

    assert asyncio.run(all_of_it()) == (SLOW // THREADS_SHARE, "bob's")
    assert len(at_work) == SLOW + 1


def test_an_account_that_asks_for_more_and_more_is_told_to_wait():
    go = threading.Event()

    async def all_of_it():
        lane = Lane(THREADS_SHARE)
        jobs = [asyncio.create_task(lane.run("ada", go.wait)) for _ in range(1 + MOST_WAITING)]
        await asyncio.sleep(0.1)
        with pytest.raises(Problem) as refused:
            await lane.run("ada", go.wait)
        go.set()
        await asyncio.gather(*jobs)
        return refused.value.status, refused.value.headers

    assert asyncio.run(all_of_it()) == (503, {"Retry-After": "5"})


@pytest.mark.parametrize("full", ["slow", "predicting"])
def test_models_predict_in_threads_of_their_own(searched, full, monkeypatch):
    async def busy(*_):
        raise Problem(503, "busy")

    ada, pages = searched.person(), searched.browser()
    monkeypatch.setattr(getattr(searched.app.state, full), "run", busy)
    form = {"csrf": searched.form_token(pages), "sources": "ab"}
    asked = {
        "slow": [ada.get("/v1/searches/words/report"), pages.get("/searches/words")],
        "predicting": [
            ada.post("/v1/searches/words/predict", json={"sources": ["ab"]}),
            ada.post("/v1/searches/words/predict/stream", json={"sources": ["ab"]}),
            ada.post("/v1/searches/words/attention", json={"source": "ab"}),
            pages.post("/searches/words/try", data=form),
        ],
    }
    told = {kind: {answer.status_code for answer in answers} for kind, answers in asked.items()}
    assert told == {kind: {503 if kind == full else 200} for kind in asked}


def test_what_an_account_uses_is_counted_in_the_threads_for_what_takes_long(searched, monkeypatch):
    async def busy(*_):
        raise Problem(503, "busy")

    ada, pages = searched.person(), searched.browser()
    monkeypatch.setattr(searched.app.state.slow, "run", busy)
    asked = [
        ada.get("/v1/me"),
        ada.post("/v1/searches/words/resume"),
        ada.put("/v1/searches/words/budget", json={"budget": {"trials": 9}}),
        pages.post("/searches/words/resume", data={"csrf": searched.form_token(pages)}),
    ]
    assert [answer.status_code for answer in asked] == [503] * 4


def test_an_account_has_a_share_of_the_seats_of_watchers(place):
    ada, root, seats = place.person(), place.person("root", "admin"), place.app.state.seats
    place.submit(ada)
    place.work()
    most = place.options.limits.watchers
    held = [seats.one("ada", most) for _ in range(most // SEATS_SHARE)]
    for seat in held:
        seat.__enter__()
    refused = ada.get("/v1/searches/words/events")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert root.get("/v1/searches/words/events").status_code == 200
    held.pop().__exit__(None, None, None)
    assert ada.get("/v1/searches/words/events").status_code == 200


def test_a_seat_is_free_again_when_its_watcher_is_gone():
    seats = Seats()
    with pytest.raises(RuntimeError), seats.one("ada", 1):
        raise RuntimeError
    with seats.one("ada", 1), pytest.raises(Problem), seats.one("bob", 1):
        pass


def test_an_account_has_a_share_of_the_forms_in_the_making():
    exports, go = Exports(), threading.Event()
    for number in range(MOST_OF_ONE):
        exports.begin(f"one {number}", go.wait, 1)
    exports.begin("one 0", go.wait, 1)
    with pytest.raises(Problem, match="too many forms"):
        exports.begin("one more", go.wait, 1)
    exports.begin("another's", go.wait, 2)
    assert exports.is_making("another's")
    go.set()


def test_a_download_is_packed_while_it_is_sent(tmp_path):
    data = os.urandom(20 * PIECE)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "weights").write_bytes(data)
    (tmp_path / "empty").touch()
    pieces = list(zipped("model", tmp_path))
    assert max(map(len, pieces)) < 3 * PIECE
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["model/empty", "model/inner/weights"]
        assert archive.read("model/inner/weights") == data
