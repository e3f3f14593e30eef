"""Table of uploads: files that people gave the service; their bytes lie among the checkpoints."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Select, String, bindparam, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from storage.accounts import Account
from storage.database import Database, Transaction
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, detach, utc_now
from storage.searches import SEARCHES


class Upload(Base):
    """One upload."""

    __tablename__ = "automl_uploads"
    __table_args__ = NUMBERED_TABLE_OPTIONS

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    digest: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime]
    used: Mapped[datetime | None]


UPLOADS = Upload.rows()


@dataclass(frozen=True)
class UploadRow:
    """An upload as it was when read.

    Attributes:
        name: What its owner called the file.
        used: When something was last made of it, if that has happened since it came.
    """

    id: int
    account_id: int
    name: str
    digest: str
    bytes: int
    created: datetime
    used: datetime | None


def add_upload(
    database: Database, account_id: int, name: str, digest: str, size: int, most: int | None = None
) -> UploadRow | None:
    """Add a file whose bytes are among the checkpoints already.

    Args:
        most: Bytes that all uploads of the account may have; of several at once those are added that come first.

    Returns:
        The upload; none where it would be too much.
    """

    def work(transaction: Transaction) -> UploadRow | None:
        if most is not None:
            transaction.session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
            if int(transaction.session.scalar(_uploaded(account_id)) or 0) + size > most:
                return None
        upload = Upload(account_id=account_id, name=name, digest=digest, bytes=size, created=utc_now())
        transaction.session.add(upload)
        transaction.session.flush()
        return detach(UploadRow, upload)

    return database.transact(work, repeatable=False)


def get_upload(database: Database, upload_id: int) -> UploadRow | None:
    """The upload of that id."""
    with database.read() as session:
        upload = session.get(Upload, upload_id)
        return None if upload is None else detach(UploadRow, upload)


def list_uploads(database: Database, account_id: int, after: int = 0, limit: int = 1000) -> list[UploadRow]:
    """The first uploads of an account with an id above `after`, oldest first."""
    statement = select(Upload).where(Upload.account_id == account_id, Upload.id > after)
    with database.read() as session:
        return [detach(UploadRow, upload) for upload in session.scalars(statement.order_by(Upload.id).limit(limit))]


def uploaded_bytes(database: Database, account_id: int) -> int:
    """Bytes of all that an account has uploaded."""
    with database.read() as session:
        return int(session.scalar(_uploaded(account_id)) or 0)


def _uploaded(account_id: int) -> Select[int]:
    return select(func.coalesce(func.sum(Upload.bytes), 0)).where(Upload.account_id == account_id)


def uploaded_digests(database: Database, account_id: int) -> set[str]:
    """Digests of all that an account has uploaded."""
    with database.read() as session:
        return set(session.scalars(select(Upload.digest).where(Upload.account_id == account_id)))


def uploaded_names(database: Database, digest: str) -> set[str]:
    """Names under which bytes are uploaded, by whomever."""
    with database.read() as session:
        return set(session.scalars(select(Upload.name).where(Upload.digest == digest)))


def all_uploaded_digests(database: Database) -> set[str]:
    """Digests of all that anybody has uploaded."""
    with database.read() as session:
        return set(session.scalars(select(Upload.digest)))


def count_uploads(database: Database, account_id: int) -> int:
    """How many files an account has uploaded."""
    with database.read() as session:
        return int(session.scalar(select(func.count()).where(Upload.account_id == account_id)) or 0)


def use_upload(database: Database, upload_id: int) -> bool:
    """Note that something is made of an upload now; False if there is none."""
    statement = update(UPLOADS).where(UPLOADS.c.id == upload_id).values(used=utc_now())
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount > 0)


def forget_unused(database: Database, before: datetime) -> set[str]:
    """Forget the uploads that came before a moment, were not used since, and whose bytes no search was queued with.

    Returns:
        Digests of these, to which others may still point.
    """
    stale = func.coalesce(UPLOADS.c.used, UPLOADS.c.created) < bindparam("before", before, UPLOADS.c.created.type)

    def work(transaction: Transaction) -> set[str]:
        queued = transaction.connection.scalars(select(SEARCHES.c.options).where(SEARCHES.c.options.is_not(None)))
        carried = {file[0] for options in queued for file in (options.get("data") or {}).values()}
        found = transaction.connection.execute(select(UPLOADS.c.id, UPLOADS.c.digest).where(stale)).all()
        unused = {number: digest for number, digest in found if digest not in carried}
        for number in unused:  # one at a time: whoever uses it meanwhile keeps it
            transaction.connection.execute(delete(UPLOADS).where(UPLOADS.c.id == number, stale))
        return set(unused.values())

    return database.transact(work)


def delete_upload(database: Database, upload_id: int) -> bool:
    """Forget an upload; its bytes stay for whatever else points to them. False if there is none."""
    statement = delete(UPLOADS).where(UPLOADS.c.id == upload_id)
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount > 0)


def delete_uploaded(database: Database, account_id: int, digests: AbstractSet[str]) -> None:
    """Forget the uploads of an account that have certain bytes."""
    statement = delete(UPLOADS).where(UPLOADS.c.account_id == account_id, UPLOADS.c.digest.in_(digests))
    database.transact(lambda transaction: transaction.connection.execute(statement).rowcount)
