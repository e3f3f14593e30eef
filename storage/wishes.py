"""Table of wishes: what somebody has asked of a search that a worker may be running."""

from typing import Any, Literal

from sqlalchemy import CheckConstraint, ForeignKey, String, bindparam, delete, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database, Transaction
from storage.schema import TABLE_OPTIONS, Base
from storage.searches import Search

Wish = Literal["pause", "cancel", "restart"]
"""`restart` ends a run so that the next one begins with what has changed, such as a larger budget."""


class SearchWish(Base):
    """The wish of one search; it stays for as long as it holds."""

    __tablename__ = "automl_wishes"
    __table_args__ = (CheckConstraint("wish IN ('pause', 'cancel', 'restart')", name="wish"), TABLE_OPTIONS)

    search_id: Mapped[int] = mapped_column(ForeignKey(Search.id, ondelete="CASCADE"), primary_key=True)
    wish: Mapped[Wish] = mapped_column(String(16))


WISHES = SearchWish.rows()


ADDED: dict[str, Any] = {
    "sqlite": sqlite.insert(WISHES).on_conflict_do_update(
        index_elements=["search_id"], set_={"wish": bindparam("new")}
    ),
    "postgresql": postgresql.insert(WISHES).on_conflict_do_update(
        index_elements=["search_id"], set_={"wish": bindparam("new")}
    ),
}
ADDED_ELSEWHERE = mysql.insert(WISHES).on_duplicate_key_update(wish=bindparam("new"))


def ask(database: Database, search_id: int, wish: Wish) -> None:
    """Ask something of a search instead of whatever was asked before; of several at once, one holds."""

    def work(transaction: Transaction) -> None:
        statement = ADDED.get(transaction.dialect, ADDED_ELSEWHERE)
        transaction.connection.execute(statement, {"search_id": search_id, "wish": wish, "new": wish})

    database.transact(work)


def wish_of(database: Database, search_id: int) -> Wish | None:
    """What is asked of a search."""
    with database.read() as session:
        return session.scalar(select(SearchWish.wish).where(SearchWish.search_id == search_id))


def list_wishes(database: Database) -> dict[int, Wish]:
    """What is asked of each search of which anything is."""
    with database.read() as session:
        return {row.search_id: row.wish for row in session.execute(select(SearchWish.search_id, SearchWish.wish))}


def forget_wish(database: Database, search_id: int) -> None:
    """Ask nothing of a search any more."""
    database.transact(lambda transaction: drop_wish(transaction, search_id))


def drop_wish(transaction: Transaction, search_id: int) -> None:
    """`forget_wish` within a transaction."""
    transaction.connection.execute(delete(WISHES).where(WISHES.c.search_id == search_id))
