"""Which applications has a shop's owner given a key in his browser?"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table


class Application(Table):
    """An application, by the name it calls itself and the origin its key was sent to, and the key
    it has; asked for again, that key is replaced."""

    __tablename__ = "applications"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    identifier: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
