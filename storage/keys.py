"""Table of keys: tokens of 256 random bits that open the service for an account, known by their sha256 alone."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, String, and_, delete, func, or_, select, update
from sqlalchemy.orm import Mapped, aliased, mapped_column

from storage.accounts import Account, AccountRow
from storage.database import Database, Transaction
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, detach, utc_now

Scope = Literal["read", "run", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "run", "admin")
"""Each one may do what those before it may."""


class Key(Base):
    """One key; a session is a key that a browser holds as a cookie."""

    __tablename__ = "automl_keys"
    __table_args__ = (CheckConstraint("scope IN ('read', 'run', 'admin')", name="scope"), NUMBERED_TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(255))
    scope: Mapped[Scope] = mapped_column(String(16))
    session: Mapped[bool]
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
    begun_with: Mapped[int | None]


KEYS = Key.rows()


@dataclass(frozen=True)
class KeyRow:
    """A key as it was when read; its token is known to nobody but its owner.

    Attributes:
        begun_with: Id of the key that began it, where it is a session that one began.
    """

    id: int
    account_id: int
    label: str
    scope: Scope
    session: bool
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    begun_with: int | None


def add_key(
    database: Database,
    account_id: int,
    scope: Scope,
    label: str = "",
    *,
    lifetime: timedelta | None = None,
    session: bool = False,
    begun_with: int | None = None,
) -> tuple[KeyRow, str]:
    """Add a key; returns it with its token, which is kept nowhere.

    Args:
        lifetime: How long it opens; none for as long as it is not revoked.
        begun_with: Id of a key with which it ends.
    """
    token = secrets.token_urlsafe(32)

    def work(transaction: Transaction) -> KeyRow:
        now = utc_now()
        key = Key(
            account_id=account_id,
            digest=digest_of(token),
            label=label,
            scope=scope,
            session=session,
            created=now,
            expires=None if lifetime is None else now + lifetime,
            begun_with=begun_with,
        )
        transaction.session.add(key)
        transaction.session.flush()
        return detach(KeyRow, key)

    return database.transact(work, repeatable=False), token


def find_key(database: Database, token: str, *, session: bool = False) -> tuple[KeyRow, AccountRow] | None:
    """The key of a token and its account, unless it has ended, or that which began it, or the account is disabled."""
    first = aliased(Key)
    statement = (
        select(Key, Account)
        .join(Account, Account.id == Key.account_id)
        .outerjoin(first, first.id == Key.begun_with)
        .where(Key.digest == digest_of(token), Key.session == session, _opens(Key), Account.disabled.is_(None))
        .where(or_(Key.begun_with.is_(None), and_(first.id.is_not(None), _opens(first))))
    )
    with database.read() as reading:
        found = reading.execute(statement).first()
        return None if found is None else (detach(KeyRow, found[0]), detach(AccountRow, found[1]))


def _opens(key: type[Key]) -> ColumnElement[bool]:
    return and_(key.revoked.is_(None), or_(key.expires.is_(None), key.expires > utc_now()))


def get_key(database: Database, key_id: int) -> KeyRow | None:
    """The key, or session, of an id."""
    with database.read() as reading:
        key = reading.get(Key, key_id)
        return None if key is None else detach(KeyRow, key)


def list_keys(
    database: Database,
    account_id: int | None = None,
    after: int = 0,
    limit: int | None = None,
    *,
    sessions: bool = False,
) -> list[KeyRow]:
    """The first keys of an account, or of all, with an id above `after`, oldest first; sessions if wanted."""
    statement = select(Key).where(Key.id > after).order_by(Key.id).limit(limit)
    if not sessions:
        statement = statement.where(Key.session.is_(False))
    if account_id is not None:
        statement = statement.where(Key.account_id == account_id)
    with database.read() as reading:
        return [detach(KeyRow, key) for key in reading.scalars(statement)]


def count_keys(database: Database, account_id: int, *, session: bool) -> int:
    """How many keys of an account open, or how many sessions do."""
    opens = or_(KEYS.c.expires.is_(None), KEYS.c.expires > utc_now()), KEYS.c.revoked.is_(None)
    statement = select(func.count()).where(KEYS.c.account_id == account_id, KEYS.c.session.is_(session), *opens)
    with database.read() as reading:
        return int(reading.scalar(statement) or 0)


def revoke_key(database: Database, key_id: int, account_id: int | None = None) -> bool:
    """Let a key, of that account where one is named, open nothing from now on; False if there is no such key."""
    statement = update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked.is_(None)).values(revoked=utc_now())
    if account_id is not None:
        statement = statement.where(KEYS.c.account_id == account_id)
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount > 0)


def forget_expired(database: Database) -> int:
    """Delete the keys that have expired; returns how many."""
    statement = delete(KEYS).where(KEYS.c.expires <= utc_now())
    return database.transact(lambda transaction: transaction.connection.execute(statement).rowcount)


def digest_of(token: str) -> str:
    """What a token is known by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
