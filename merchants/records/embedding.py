"""Which sites may show a store's checkout in a page of theirs?"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, Session, mapped_column

from merchants.records.tables import Table


class Embedding(Table):
    """The origins of one store's own sites, space separated. A store without a row has none."""

    __tablename__ = "embeddings"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    origins: Mapped[str]


def embedders_of(session: Session, store_id: str) -> tuple[str, ...]:
    """Return the origins whose pages may show the store's checkout."""
    row = session.get(Embedding, store_id)
    return () if row is None else tuple(row.origins.split())
