"""What accounts have spent: the seconds that their searches have computed."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.accounts import Account, AccountRow
from storage.database import Database
from storage.schema import detach
from storage.searches import SEARCHES


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
