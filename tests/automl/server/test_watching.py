"""Watching a search: nothing is missed, whoever is killed or restarted meanwhile; and the Python client."""

import asyncio
import threading

import pytest
from fastapi.sse import KEEPALIVE_COMMENT

import automl
from automl import client as clients
from automl.bundle import write_bundle
from automl.errors import InputError
from automl.server.api.events import stream


def connected(place, port, name="ada", scope="run"):
    return automl.connect(f"http://127.0.0.1:{port}", place.token(name, scope))


def pretended_export(bundle, folder, names, sample):
    write_bundle(bundle, folder)
    for name in names:
        (folder / name).mkdir()
        (folder / name / "model.bin").write_bytes(name.encode())


def test_the_client_submits_watches_and_takes_home(running, tmp_path, monkeypatch):
    place, port = running()
    monkeypatch.setattr(clients, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("automl.server.models.export", pretended_export)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "words.tsv").write_text("".join(f"{n:03d}\t{n:03d}\n" for n in range(40)))
    with connected(place, port) as service:
        take_home(place, service, tmp_path)


def take_home(place, service, tmp_path):
    worker = threading.Timer(0.1, place.work)
    search = service.search(str(tmp_path / "mine" / "words.tsv"), budget={"trials": 3}, wait=False)
    worker.start()
    found = search.wait()
    worker.join()
    assert (found.state, found.best.trial) == ("finished", 0)
    assert found.best.scores["loss"] == found.leaderboard()[0]["scores"]["loss"]
    assert found.predict(["a", "b"]) == ["A", "B"]
    many = [*map(str, range(2_500)), *["x" * 9_000] * 30]
    assert found.predict(many) == [source.upper() for source in many]
    assert found.predict([]) == []
    assert found.attention("ab")["source"] == ["a", "b"]
    assert len(found.leaderboard()) == 3
    assert found.report()["metric"] == "sequence_error_rate"
    folder = found.export(tmp_path / "model")
    assert (folder / "MANIFEST.json").is_file()
    forms = found.best.export(tmp_path / "forms", ["onnx", "int8"])
    assert [(forms / form / "model.bin").read_bytes() for form in ("onnx", "int8")] == [b"onnx", b"int8"]
    assert (forms / "MANIFEST.json").is_file()
    with pytest.raises(InputError, match="is there already"):
        found.export(folder)
    assert [other.name for other in service.searches()] == ["words"]
    assert service.open("words").extend({"trials": 5}).state == "queued"
    assert search.cancel().state == "cancelled"
    search.delete(purge=True)
    assert list(service.searches()) == []


def test_a_watcher_goes_on_where_it_was_when_the_service_comes_back(running, monkeypatch):
    monkeypatch.setattr(clients, "PAUSE_SECONDS", 0.05)
    place, port = running()
    place.submit(place.person(), trials=3)
    with connected(place, port) as service:
        watch_over_a_restart(running, place, port, service)


def watch_over_a_restart(running, place, port, service):
    place.work()
    whole = [event["id"] for event in service.open("words").events()]
    place.person().put("/v1/searches/words/budget", json={"budget": {"trials": 6}})
    seen: list[int] = []
    ended = threading.Event()

    def watch():
        for event in service.open("words").events(whole[1]):
            seen.append(event["id"])
        ended.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    while not seen:
        ended.wait(0.01)
    running.stop()
    place, _ = running(port=port)
    place.work()
    assert ended.wait(60)
    watcher.join()
    rows = [event["id"] for event in service.open("words").events()]
    assert seen == rows[2:]
    assert len(rows) > len(whole)


def test_a_watcher_sees_states_and_then_the_end(searched):
    ada = searched.person()
    with ada.stream("GET", "/v1/searches/words/events", headers={"Last-Event-ID": "3"}) as response:
        text = "".join(response.iter_text())
    ids = [int(line.partition(": ")[2]) for line in text.splitlines() if line.startswith("id: ")]
    assert ids == sorted(set(ids))
    assert min(ids) == 4
    assert text.count("event: state") == 1
    assert text.rstrip().endswith("event: end\ndata: {}")


def test_a_watcher_whose_key_opens_no_more_is_told_nothing_further():
    class Told:
        closed = False

        async def follow(self, row, after):
            for _ in range(3):
                yield []

    answers = iter([object(), None])

    async def opens():
        return next(answers)

    async def read():
        return [piece async for piece in stream(Told(), None, 0, opens).body_iterator]

    assert asyncio.run(read())[1:] == [KEEPALIVE_COMMENT]


def test_there_is_room_for_so_many_watchers(place):
    ada = place.limited(watchers=0).person()
    place.submit(ada)
    assert ada.get("/v1/searches/words/events").status_code == 503
