"""Table of the audit log: who changed what by the service, and who was refused."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, Message, detach, insertion, utc_now


class AuditEntry(Base):
    """One entry."""

    __tablename__ = "automl_audit"
    __table_args__ = NUMBERED_TABLE_OPTIONS

    id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[datetime]
    account: Mapped[str | None] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(Message)
    status: Mapped[int]
    address: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True)
class AuditRow:
    """An entry as it was when read.

    Attributes:
        account: Name of who asked; none where nobody knows.
        action: What was asked, by the name of the route.
        subject: Of what, such as the name of a search.
        status: Of the answer, in the numbers of HTTP.
        address: Where the request came from.
    """

    id: int
    created: datetime
    account: str | None
    action: str
    subject: str
    status: int
    address: str


AUDIT = AuditEntry.rows()
NOTE = insertion(AUDIT, "created", "account", "action", "subject", "status", "address")


def write_entry(database: Database, account: str | None, action: str, subject: str, status: int, address: str) -> None:
    """Add an entry."""
    values = {"created": utc_now(), "account": account, "action": action[:64], "subject": subject}
    database.transact(lambda transaction: transaction.run(NOTE, {**values, "status": status, "address": address[:64]}))


def list_entries(database: Database, before: int | None = None, limit: int = 100) -> list[AuditRow]:
    """The last entries, or the last with an id below `before`, newest first."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditEntry.id < before)
    with database.read() as session:
        return [detach(AuditRow, entry) for entry in session.scalars(statement)]


def forget_entries(database: Database, age: timedelta) -> int:
    """Delete the entries that are older; returns how many."""
    statement = delete(AUDIT).where(AUDIT.c.created < utc_now() - age)
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount)
