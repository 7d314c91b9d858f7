"""Which API keys do the shops have?"""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table


class ApiKey(Table):
    """One key of a store. The key itself is nowhere: ``hash`` is, and ``hint``, its first letters.

    ``scopes`` are space separated. ``ends_ns`` is when it stops to work: at once where it was
    revoked, some time after it was replaced by another; None for never. ``used_ns`` is when it was
    used last, give or take a minute. ``made_by`` is the person who made it, or for whom the key
    works that made it; empty where nobody is known: then nobody takes it along when he leaves.
    """

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_by_store", "store_id", "created_ns", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    label: Mapped[str]
    scopes: Mapped[str]
    created_ns: Mapped[int]
    used_ns: Mapped[int | None]
    ends_ns: Mapped[int | None]
    made_by: Mapped[str] = mapped_column(default="", server_default=text("''"))
