"""What accounts have spent: the seconds that their searches have computed."""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from storage.accounts import ACCOUNTS, Account, AccountRow
from storage.database import Database, Transaction
from storage.leases import LeaseHeld, read_clock
from storage.schema import detach
from storage.searches import SEARCHES, is_held, named


def computed_seconds(database: Database, account_id: int) -> float:
    """Seconds that the searches of an account have consumed, those that were deleted among them."""
    found = account_computed(database, account_id)
    return 0.0 if found is None else found[1]


def account_computed(database: Database, account_id: int) -> tuple[AccountRow, float] | None:
    """An account with its `computed_seconds`, in one look."""
    with database.read() as session:
        found = computed(session, account_id)
        return None if found is None else (detach(AccountRow, found[0]), found[1])


def computed(session: Session, account_id: int) -> tuple[Account, float] | None:
    """`account_computed` within a transaction.

    A search that pre-trains for another is called NAME.more and was not queued itself. As soon as the other has begun,
    its seconds are among those of the other.
    """
    columns = select(Account, SEARCHES.c.name, SEARCHES.c.seconds, SEARCHES.c.options.is_not(None))
    joined = columns.outerjoin(SEARCHES, SEARCHES.c.account_id == Account.id)
    rows = session.execute(joined.where(Account.id == account_id)).all()
    if not rows:
        return None
    of_searches = [(name, seconds, is_queued) for _, name, seconds, is_queued in rows if name is not None]
    own = {name: seconds for name, seconds, is_queued in of_searches if is_queued}
    before = dict.fromkeys(own, 0.0)
    for name, seconds, is_queued in of_searches:
        if not is_queued:
            whose = name.rpartition(".")[0]
            before[whose] = before.get(whose, 0.0) + seconds
    account: Account = rows[0][0]
    return account, account.spent_seconds + sum(max(own.get(name, 0.0), seconds) for name, seconds in before.items())


def delete_search(database: Database, name: str, owner: str | None = None) -> bool:
    """Delete a search with everything that belongs to it but the checkpoints; False if there was none.

    What it has computed stays charged to its account.

    Raises:
        LeaseHeld: A live process other than `owner` holds it.
    """

    def work(transaction: Transaction) -> bool:
        search = transaction.session.scalar(named(name).with_for_update())
        if search is None:
            return False
        if search.owner != owner and is_held(search, read_clock(transaction.connection)):
            raise LeaseHeld(name, str(search.owner))
        before = None if search.account_id is None else computed(transaction.session, search.account_id)
        transaction.connection.execute(delete(SEARCHES).where(SEARCHES.c.id == search.id))
        after = None if before is None else computed(transaction.session, before[0].id)
        if before is not None and after is not None:
            charged = update(ACCOUNTS).where(ACCOUNTS.c.id == before[0].id)
            gone = before[1] - after[1]
            transaction.connection.execute(charged.values(spent_seconds=ACCOUNTS.c.spent_seconds + gone))
        return True

    return database.transact(work)
