"""Table of accounts: who may use the service; what opens it is in `storage.keys`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import JSON, Double, String, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database, StorageError, Transaction
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, detach, utc_now


class Account(Base):
    """One account; what it owns outlives it."""

    __tablename__ = "automl_accounts"
    __table_args__ = NUMBERED_TABLE_OPTIONS

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    created: Mapped[datetime]
    disabled: Mapped[datetime | None]
    quotas: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True))
    spent_seconds: Mapped[float] = mapped_column(Double, server_default="0")


ACCOUNTS = Account.rows()


@dataclass(frozen=True)
class AccountRow:
    """An account as it was when read.

    Attributes:
        quotas: What it may use, where that is not what all may.
        spent_seconds: What searches have computed that were deleted; `storage.spending` counts all.
    """

    id: int
    name: str
    created: datetime
    disabled: datetime | None
    quotas: Mapping[str, float] | None
    spent_seconds: float


def add_account(database: Database, name: str, quotas: Mapping[str, float] | None = None) -> AccountRow:
    """Add an account.

    Raises:
        StorageError: The name is taken.
    """

    def work(transaction: Transaction) -> AccountRow:
        given = None if quotas is None else dict(quotas)
        account = Account(name=name, created=utc_now(), quotas=given, spent_seconds=0.0)
        transaction.session.add(account)
        try:
            transaction.session.flush()
        except IntegrityError:
            raise StorageError(f"database {database.place} has an account {name!r}; choose another name") from None
        return detach(AccountRow, account)

    return database.transact(work, repeatable=False)


def find_account(database: Database, name: str) -> AccountRow | None:
    """The account of that name."""
    with database.read() as session:
        account = session.scalar(select(Account).where(Account.name == name))
        return None if account is None else detach(AccountRow, account)


def get_account(database: Database, account_id: int) -> AccountRow | None:
    """The account of an id."""
    with database.read() as session:
        account = session.get(Account, account_id)
        return None if account is None else detach(AccountRow, account)


def list_accounts(database: Database, after: int = 0, limit: int | None = None) -> list[AccountRow]:
    """The first accounts with an id above `after`, or all, oldest first."""
    statement = select(Account).where(Account.id > after).order_by(Account.id).limit(limit)
    with database.read() as session:
        return [detach(AccountRow, account) for account in session.scalars(statement)]


def disable_account(database: Database, name: str) -> bool:
    """Let an account's keys open nothing from now on; False if there is no such account."""
    statement = update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(disabled=utc_now())
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount > 0)


def set_quotas(database: Database, name: str, quotas: Mapping[str, float] | None) -> bool:
    """Say what an account may use; none for what all may. False if there is no such account."""
    statement = update(ACCOUNTS).where(ACCOUNTS.c.name == name)
    statement = statement.values(quotas=None if quotas is None else dict(quotas))
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount > 0)
