"""Table of accounts: who may use the service, known by the sha256 of a token that is shown once."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, select, update
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
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime]
    disabled: Mapped[datetime | None]


ACCOUNTS = Account.rows()


@dataclass(frozen=True)
class AccountRow:
    """An account as it was when read; its token is known to nobody but its owner."""

    id: int
    name: str
    created: datetime
    disabled: datetime | None


def add_account(database: Database, name: str) -> tuple[AccountRow, str]:
    """Add an account; returns it with its token of 256 random bits, which is kept nowhere.

    Raises:
        StorageError: The name is taken.
    """
    token = secrets.token_urlsafe(32)

    def work(transaction: Transaction) -> AccountRow:
        account = Account(name=name, token_digest=_digest(token), created=utc_now())
        transaction.session.add(account)
        try:
            transaction.session.flush()
        except IntegrityError:
            raise StorageError(f"database {database.place} has an account {name!r}; choose another name") from None
        return detach(AccountRow, account)

    return database.transact(work, repeatable=False), token


def find_account(database: Database, token: str) -> AccountRow | None:
    """The account of a token, unless it is disabled."""
    statement = select(Account).where(Account.token_digest == _digest(token), Account.disabled.is_(None))
    with database.read() as session:
        account = session.scalar(statement)
        return None if account is None else detach(AccountRow, account)


def list_accounts(database: Database) -> list[AccountRow]:
    """All accounts, oldest first."""
    with database.read() as session:
        return [detach(AccountRow, account) for account in session.scalars(select(Account).order_by(Account.id))]


def disable_account(database: Database, name: str) -> bool:
    """Let an account's token open nothing from now on; False if there is no such account."""
    statement = update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(disabled=utc_now())
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount > 0)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
