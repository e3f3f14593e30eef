"""What is done again and again beside requests goes on after errors that nobody expected, and readiness says so."""

import asyncio
import logging

from automl.server.feed import Change, Feed
from automl.server.upkeep import Upkeep
from storage.searches import claim, create_search, get_search, release, update_search


def test_work_that_fails_is_said_and_done_again(monkeypatch, caplog):
    upkeep, seen, pauses = Upkeep(), [], []

    async def work():
        seen.append(upkeep.failing)
        if len(seen) <= 3:
            raise ValueError("a line of the data")

    async def pause(seconds):
        pauses.append(seconds)

    monkeypatch.setattr("automl.server.upkeep.asyncio.sleep", pause)
    with caplog.at_level(logging.ERROR, "automl.server"):
        asyncio.run(upkeep.repeat("watching", work, 0.1, lambda: len(seen) < 5))
    assert seen == [[], ["watching"], ["watching"], ["watching"], []]
    assert pauses == [1.0, 2.0, 4.0, 0.1, 0.1]
    assert [record.kind for record in caplog.records] == ["ValueError"] * 3
    assert "a line of the data" not in caplog.text


def test_a_service_whose_housekeeping_fails_is_not_ready(place, monkeypatch):
    def broken(*_):
        raise ValueError

    place.options.checkpoints.mkdir()
    monkeypatch.setattr("automl.server.retention.tidy", broken)
    with place.client() as client:
        assert any(client.get("/readyz").status_code == 503 for _ in range(1000))
        assert client.get("/readyz").json()["detail"].startswith("keeping house failed")
    assert place.client().get("/readyz").status_code == 200


def test_a_search_that_cannot_be_read_keeps_no_news_from_who_watches_another(place, monkeypatch):
    rows, seen = [], []
    for name in ("broken", "words"):
        create_search(place.database, name, {"name": name}, "d" * 64)
        lease = claim(place.database, name, "a test", 60)
        rows.append(get_search(place.database, name))
    feed, read = Feed(place.database, seconds=0.01), Feed._read

    def reads(self, number, channel):
        if channel.name == "broken":
            raise ValueError
        return read(self, number, channel)

    async def follow(row):
        async for batch in feed.follow(row, 0):
            seen.extend(item.state for item in batch if isinstance(item, Change))

    async def watch():
        broken, watching = (asyncio.create_task(follow(row)) for row in rows)
        while not seen:
            await asyncio.sleep(0.01)
        update_search(place.database, lease, state="finished")
        release(place.database, lease)
        await watching
        broken.cancel()
        feed.close()

    monkeypatch.setattr(Feed, "_read", reads)
    asyncio.run(watch())
    assert seen == ["running", "finished"]
