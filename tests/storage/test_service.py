"""What the service keeps: accounts, keys, uploads, wishes, receipts and the audit log, on every kind of database."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from storage.accounts import (
    AccountRow,
    add_account,
    disable_account,
    find_account,
    list_accounts,
    set_quotas,
)
from storage.audit import forget_entries, list_entries, write_entry
from storage.checkpoints import referenced
from storage.database import Database, StorageError
from storage.keys import add_key, find_key, forget_expired, list_keys, revoke_key
from storage.leases import Lease
from storage.queues import Quota, queue_search, withdraw_search
from storage.receipts import close_receipt, find_receipt, forget_receipts, open_receipt
from storage.schema import utc_now
from storage.searches import claim, create_search, list_searches, update_search
from storage.spending import computed_seconds, delete_search
from storage.uploads import (
    add_upload,
    delete_upload,
    forget_unused,
    get_upload,
    list_uploads,
    uploaded_bytes,
    uploaded_digests,
    use_upload,
)
from storage.wishes import Wish, ask, forget_wish, list_wishes, wish_of


@pytest.fixture
def account(database: Database) -> AccountRow:
    return add_account(database, f"ada {uuid.uuid4().hex}")


def test_an_account_has_a_name_of_its_own_and_quotas(database: Database, account: AccountRow) -> None:
    with pytest.raises(StorageError, match="choose another"):
        add_account(database, account.name)
    assert set_quotas(database, account.name, {"searches": 2})
    found = find_account(database, account.name)
    assert found is not None
    assert found.quotas == {"searches": 2}
    assert account.name in [row.name for row in list_accounts(database)]
    assert not set_quotas(database, "nobody", None)


def test_a_key_opens_by_its_token_alone_until_it_is_revoked(database: Database, account: AccountRow) -> None:
    key, token = add_key(database, account.id, "run", "laptop")
    assert find_key(database, token) == (key, account)
    assert find_key(database, token, session=True) is None
    assert find_key(database, account.name) is None
    assert token not in str(list_keys(database))
    assert not revoke_key(database, key.id, account.id + 1)
    assert revoke_key(database, key.id, account.id)
    assert find_key(database, token) is None


def test_a_key_opens_nothing_once_it_has_expired_or_its_account_is_disabled(
    database: Database, account: AccountRow
) -> None:
    _, late = add_key(database, account.id, "read", lifetime=timedelta(seconds=-1))
    _, token = add_key(database, account.id, "read", lifetime=timedelta(hours=1))
    assert find_key(database, late) is None
    assert forget_expired(database) == 1
    assert find_key(database, token) is not None
    assert disable_account(database, account.name)
    assert find_key(database, token) is None
    assert not disable_account(database, "nobody")


@pytest.mark.parametrize("begun", [0.0, 9.5])
@pytest.mark.parametrize("names", [("dates", "dates.denoising"), ("dates.denoising", "dates")])
def test_what_searches_have_computed_stays_charged_whichever_is_deleted_first(
    database: Database, account: AccountRow, begun: float, names: tuple[str, str]
) -> None:
    for name, seconds in (("dates", begun), ("dates.denoising", 7.5)):  # what pre-trains counts within what is begun
        create_search(database, name, {}, "d" * 64, account_id=account.id)
        if name == "dates":
            queue_search(database, name, {})
        update_search(database, claim(database, name, "first", 60), seconds=seconds)
    told = [computed_seconds(database, account.id)]
    for name in names:
        delete_search(database, name, "first")
        told.append(computed_seconds(database, account.id))
    assert told == [max(begun, 7.5)] * 3


def test_an_upload_is_pointed_to_until_it_is_deleted(database: Database, account: AccountRow) -> None:
    upload = add_upload(database, account.id, "words.tsv", "e" * 64, 7)
    assert upload is not None
    assert get_upload(database, upload.id) == upload
    assert list_uploads(database, account.id) == [upload]
    assert list_uploads(database, account.id, after=upload.id) == []
    assert (uploaded_bytes(database, account.id), uploaded_digests(database, account.id)) == (7, {"e" * 64})
    assert "e" * 64 in referenced(database)
    assert delete_upload(database, upload.id)
    assert "e" * 64 not in referenced(database)
    assert not delete_upload(database, upload.id)


def test_of_uploads_at_once_no_more_are_added_than_fit(database: Database, account: AccountRow) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: add_upload(database, account.id, "a", "f" * 64, 10, most=25), range(8)))
    assert (len([row for row in found if row]), uploaded_bytes(database, account.id)) == (2, 20)


def test_an_upload_is_forgotten_where_no_search_has_it_and_nobody_has_used_it(
    database: Database, account: AccountRow
) -> None:
    digests = [uuid.uuid4().hex * 2 for _ in range(3)]
    unused, used, kept = (add_upload(database, account.id, "a.tsv", digest, 1) for digest in digests)
    assert unused
    assert used
    assert kept
    create_search(database, "dates", {}, "d" * 64, account_id=account.id)
    queue_search(database, "dates", {"data": {"train": [kept.digest, ".tsv"]}})
    assert not forget_unused(database, unused.created) & {*digests}
    before = utc_now()
    assert use_upload(database, used.id)
    assert forget_unused(database, before) & {*digests} == {unused.digest}
    assert [row.id for row in list_uploads(database, account.id)] == [used.id, kept.id]
    assert not use_upload(database, unused.id)


def test_of_searches_queued_at_once_no_more_wait_than_may_and_the_others_are_gone(
    database: Database, account: AccountRow
) -> None:
    names = [f"search {number}" for number in range(8)]
    for name in names:
        create_search(database, name, {}, "d" * 64, account_id=account.id)
    quota = Quota(account.id, 2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: queue_search(database, name, {}, quota), names))
    queued = [name for name, is_queued in zip(names, found, strict=True) if is_queued]
    assert len(queued) == 2
    assert [(row.name, row.state) for row in list_searches(database)] == [(name, "queued") for name in queued]


def test_a_search_that_has_waited_before_stays_where_there_are_too_many(
    database: Database, account: AccountRow
) -> None:
    quota = Quota(account.id, 1)
    for name in ("first", "second"):
        create_search(database, name, {}, "d" * 64, account_id=account.id)
        assert queue_search(database, name, {}, quota)
        assert queue_search(database, name, {}, quota)
        if name == "first":
            withdraw_search(database, name)
    assert not queue_search(database, "first", {"workers": 2}, quota)
    first, second = list_searches(database)
    assert (first.state, first.options, second.state) == ("interrupted", {}, "queued")
    ask(database, first.id, "pause")
    claim(database, "second", "a worker", 60)
    assert not queue_search(database, "first", quota=quota)
    assert wish_of(database, first.id) == "pause"
    assert queue_search(database, "first", quota=Quota(account.id, 2))
    assert wish_of(database, first.id) is None


def test_the_last_wish_holds_until_it_is_forgotten(database: Database, lease: Lease) -> None:
    assert wish_of(database, lease.search_id) is None
    ask(database, lease.search_id, "pause")
    ask(database, lease.search_id, "cancel")
    assert wish_of(database, lease.search_id) == "cancel"
    assert list_wishes(database) == {lease.search_id: "cancel"}
    forget_wish(database, lease.search_id)
    assert wish_of(database, lease.search_id) is None


def test_of_wishes_at_once_one_holds(database: Database) -> None:
    wishes: list[Wish] = ["pause", "cancel", "restart", "pause"]
    with ThreadPoolExecutor(4) as pool:
        for number in range(8):
            row = create_search(database, f"search {number}", {}, "d" * 64)
            barrier = Barrier(4)
            asked = [pool.submit(_ask_together, barrier, database, row.id, wish) for wish in wishes]
            assert [each.exception() for each in asked] == [None] * 4
            assert wish_of(database, row.id) in wishes


def _ask_together(barrier: Barrier, database: Database, search_id: int, wish: Wish) -> None:
    barrier.wait()
    ask(database, search_id, wish)


def test_a_request_is_served_once_for_each_idempotency_key(database: Database, account: AccountRow) -> None:
    assert open_receipt(database, account.id, "k", "a" * 64) is None
    waiting = open_receipt(database, account.id, "k", "a" * 64)
    assert waiting is not None
    assert waiting.answer is None
    close_receipt(database, account.id, "k", "dates")
    served = find_receipt(database, account.id, "k")
    assert served is not None
    assert served.answer == "dates"
    close_receipt(database, account.id, "k", None)
    assert open_receipt(database, account.id, "k", "b" * 64) is None
    assert forget_receipts(database, timedelta(seconds=-1)) == 1


def test_of_requests_at_once_with_one_key_one_is_served(database: Database, account: AccountRow) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: open_receipt(database, account.id, "k", "a" * 64), range(8)))
    assert found.count(None) == 1


def test_the_audit_log_is_read_from_its_end_and_forgets_what_is_old(database: Database) -> None:
    for number in range(3):
        write_entry(database, "ada", "submit", f"search {number}", 202, "127.0.0.1")
    newest = list_entries(database, limit=2)
    assert [row.subject for row in newest] == ["search 2", "search 1"]
    assert [row.subject for row in list_entries(database, before=newest[-1].id)] == ["search 0"]
    assert forget_entries(database, timedelta(days=1)) == 0
    assert forget_entries(database, timedelta(seconds=-1)) == 3
