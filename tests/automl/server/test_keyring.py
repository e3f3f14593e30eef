"""Keys are believed for a second, and not when this service has revoked them; and no watcher keeps news from another."""

import asyncio
from datetime import timedelta

import httpx

from automl.server.feed import KEPT_EVENTS, Change, Feed
from automl.server.keyring import BELIEVED_SECONDS, Keyring
from automl.server.options import Limits
from storage.accounts import add_account
from storage.events import append_event
from storage.keys import add_key, find_key, revoke_key
from storage.searches import claim, create_search, get_search, release, update_search


def test_a_key_is_believed_for_a_second_and_forgotten_when_told(place):
    account = add_account(place.database, "ada")
    row, token = add_key(place.database, account.id, "run")
    now = [0.0]
    keyring = Keyring(place.database, clock=lambda: now[0])

    async def find():
        return await keyring.find(token) is not None

    async def all_of_it():
        assert await find()
        revoke_key(place.database, row.id)
        believed = await find()
        now[0] += BELIEVED_SECONDS
        later = await find()
        return believed, later, await keyring.find(token, session=True)

    assert asyncio.run(all_of_it()) == (True, False, None)
    row, token = add_key(place.database, account.id, "run")
    assert asyncio.run(find())
    revoke_key(place.database, row.id)
    keyring.forget()
    assert not asyncio.run(find())


def test_a_key_that_expires_while_it_is_believed_opens_nothing(place):
    account = add_account(place.database, "ada")
    _, token = add_key(place.database, account.id, "run", lifetime=timedelta(microseconds=1))
    keyring = Keyring(place.database, clock=lambda: 0.0)
    assert asyncio.run(keyring.find(token)) is None


def test_many_who_ask_for_a_key_at_once_ask_the_database_once(place, monkeypatch):
    account = add_account(place.database, "ada")
    _, token = add_key(place.database, account.id, "run")
    keyring, asked = Keyring(place.database), []
    monkeypatch.setattr(
        "automl.server.keyring.find_key", lambda *found, **how: asked.append(1) or find_key(*found, **how)
    )

    async def all_at_once():
        return await asyncio.gather(*(keyring.find(token) for _ in range(50)))

    found = asyncio.run(all_at_once())
    assert {account.name for _, account in found} == {"ada"}
    assert len(asked) == 1


def watched(place, jobs):
    """Run watchers of a search, `jobs` beside them, in a feed that looks often."""
    create_search(place.database, "words", {"name": "words"}, "d" * 64)
    lease = claim(place.database, "words", "a test", 60)
    row = get_search(place.database, "words")
    feed = Feed(place.database, seconds=0.01)

    async def follow(after, seen, ready, reads=None):
        async for batch in feed.follow(row, after):
            seen += [item.id for item in batch if not isinstance(item, Change)]
            if ready.is_set() and reads is not None:
                await reads.wait()
            if any(isinstance(item, Change) for item in batch):
                ready.set()

    async def run():
        await jobs(follow, lease)
        feed.close()

    asyncio.run(run())


def test_a_watcher_that_claims_to_have_seen_more_keeps_nothing_from_others(place):
    seen, none = [], []

    async def jobs(follow, lease):
        ready = asyncio.Event()
        bogus = asyncio.create_task(follow(10**18, none, ready))
        await ready.wait()
        append_event(place.database, lease, "start", "one")
        honest = asyncio.create_task(follow(0, seen, asyncio.Event()))
        for number in range(3):
            append_event(place.database, lease, "continue", f"{number}")
            await asyncio.sleep(0.05)
        update_search(place.database, lease, state="finished")
        release(place.database, lease)
        await asyncio.gather(bogus, honest)

    watched(place, jobs)
    assert len(seen) == 4
    assert seen == sorted(set(seen))
    assert none == []


def test_a_watcher_that_reads_slowly_misses_nothing(place):
    seen = []

    async def jobs(follow, lease):
        ready = asyncio.Event()
        reads = asyncio.Event()
        slow = asyncio.create_task(follow(0, seen, ready, reads))
        await ready.wait()
        append_event(place.database, lease, "start", "one")
        await asyncio.sleep(0.1)
        with place.database.write() as transaction:
            from storage.events import note

            for number in range(KEPT_EVENTS + 700):
                note(transaction, lease, "continue", f"{number}")
            note(transaction, lease, "end", "all is written")
        await asyncio.sleep(0.3)
        update_search(place.database, lease, state="finished")
        release(place.database, lease)
        reads.set()
        await slow

    watched(place, jobs)
    assert len(seen) == KEPT_EVENTS + 702
    assert seen == sorted(set(seen))


def test_a_connection_that_asks_now_and_then_is_kept(running):
    _, port = running(Limits(rate=1e6, burst=10**6, header_seconds=0.3))
    import time

    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(4):
            stream = client.get("/healthz").extensions["network_stream"]
            address = stream.get_extra_info("client_addr")
            time.sleep(0.2)
            assert client.get("/healthz").extensions["network_stream"].get_extra_info("client_addr") == address
