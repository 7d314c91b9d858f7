"""What have the shops' wallets allowed session keys to sell?

One row for each market of a store and each time its wallet was asked. The wallet signs what is in
the row (a ``KeyGrant``); nothing of it changes once it has.
"""

from typing import Final

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table

# Words and not expressions: see ``tables.DELIVERY_WAITS``.
GRANT_WAITS: Final = text("signature IS NOT NULL AND relayed IS FALSE")
REVOCATION_WAITS: Final = text("revocation IS NOT NULL AND revocation_relayed IS FALSE")


class Grant(Table):
    """Leave for one session key to sell ``base`` for ``quote`` of one wallet.

    ``signature`` is the wallet's, None until it has approved; ``relayed`` that the settler has it.
    ``replaced_by`` is the grant of the same market that was approved after it: with another key,
    this one's still signs what it signed, and is not asked any more. ``revoked_ns`` is when it was
    taken back, by the wallet's ``revocation`` (a signature over ``revocation_nonce``) unless it was
    never approved. ``nonce`` rises with every grant of a wallet, whichever store asks for it.
    """

    __tablename__ = "grants"
    __table_args__ = (
        Index("grants_by_pair", "store_id", "base", "quote", "nonce"),
        Index("grants_by_wallet", "wallet", "nonce"),
        Index("grants_waiting", "nonce", sqlite_where=GRANT_WAITS, postgresql_where=GRANT_WAITS),
        Index(
            "revocations_waiting",
            "revocation_nonce",
            sqlite_where=REVOCATION_WAITS,
            postgresql_where=REVOCATION_WAITS,
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    wallet: Mapped[bytes]
    base: Mapped[bytes]
    quote: Mapped[bytes]
    created_ns: Mapped[int]
    key_address: Mapped[bytes]
    expiry: Mapped[int]
    notional_cap: Mapped[int]
    floor_price: Mapped[int]
    nonce: Mapped[int]
    signature: Mapped[bytes | None]
    relayed: Mapped[bool] = mapped_column(default=False)
    replaced_by: Mapped[str | None]
    revoked_ns: Mapped[int | None]
    revocation_nonce: Mapped[int] = mapped_column(default=0)
    revocation: Mapped[bytes | None]
    revocation_relayed: Mapped[bool] = mapped_column(default=False)
