"""Table of receipts: what was answered to a request with an idempotency key, so that it is not done twice."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from storage.accounts import Account
from storage.database import Database, Transaction
from storage.schema import TABLE_OPTIONS, Base, detach, utc_now


class Receipt(Base):
    """One receipt; without an answer while the request is being served."""

    __tablename__ = "automl_receipts"
    __table_args__ = TABLE_OPTIONS

    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str | None] = mapped_column(String(255))
    created: Mapped[datetime]


RECEIPTS = Receipt.rows()


@dataclass(frozen=True)
class ReceiptRow:
    """A receipt as it was when read.

    Attributes:
        request: Sha256 of what was asked.
        answer: Name of what it made; none while that is not known.
    """

    request: str
    answer: str | None
    created: datetime


def open_receipt(database: Database, account_id: int, key: str, request: str) -> ReceiptRow | None:
    """Note that a request is being served; returns the receipt of an earlier one with this key, if there is one."""

    def work(transaction: Transaction) -> ReceiptRow | None:
        held = transaction.session.get(Receipt, (account_id, key))
        if held is None:
            transaction.session.add(Receipt(account_id=account_id, key=key, request=request, created=utc_now()))
            try:
                transaction.session.flush()
            except IntegrityError:
                raise _Preceded from None
        return None if held is None else detach(ReceiptRow, held)

    try:
        return database.transact(work, repeatable=False)
    except _Preceded:
        return find_receipt(database, account_id, key)


class _Preceded(Exception):
    """Another request with the same key was first by a moment."""


def close_receipt(database: Database, account_id: int, key: str, answer: str | None) -> None:
    """Note what a request has made; none if it failed, which lets the key be used again."""
    mine = (RECEIPTS.c.account_id == account_id, RECEIPTS.c.key == key)
    statement = delete(RECEIPTS).where(*mine) if answer is None else update(RECEIPTS).where(*mine).values(answer=answer)
    database.transact(lambda transaction: transaction.connection.execute(statement))


def forget_receipts(database: Database, age: timedelta) -> int:
    """Delete the receipts that are older; returns how many."""
    statement = delete(RECEIPTS).where(RECEIPTS.c.created < utc_now() - age)
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount)


def find_receipt(database: Database, account_id: int, key: str) -> ReceiptRow | None:
    """The receipt of a key."""
    statement = select(Receipt).where(Receipt.account_id == account_id, Receipt.key == key)
    with database.read() as session:
        receipt = session.scalar(statement)
        return None if receipt is None else detach(ReceiptRow, receipt)
