"""What does a shop sell at a fixed price to whoever presses a button?

The shop alone says what it costs: who presses says nothing, so there is nothing to tamper with.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Engine, func, select

from engine.types import Outcome
from merchants.records.amounts import pips_of_decimal
from merchants.records.database import reading, transaction
from merchants.records.embedding import embedders_of
from merchants.records.pay_buttons import PayButton
from merchants.records.rejection import Rejection
from merchants.records.tables import Store

BUTTONS_MAX: Final = 200
"""Buttons of one store that sell."""

ID_SIZE: Final = 16


class ButtonRequest(NamedTuple):
    """What a shop sells, and where its customer goes then."""

    name: str
    amount: str
    currency: str
    tokens: tuple[str, ...]
    redirect_url: str = ""


class ButtonShown(NamedTuple):
    """A button as who presses it sees it; ``embedders`` are the sites that may show it in a
    frame."""

    shop: str
    button: PayButton
    embedders: tuple[str, ...] = ()


class PayButtons:
    """All shops' buttons."""

    def __init__(
        self, database: Engine, clock: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    def make(self, store_id: str, request: ButtonRequest) -> PayButton | Rejection:
        """Make a button. Rejects MALFORMED for no amount, and CAPACITY where there are too many."""
        if not pips_of_decimal(request.amount):
            return Rejection(Outcome.MALFORMED, {"amount": request.amount})
        own = (PayButton.store_id == store_id, PayButton.ended_ns.is_(None))
        with transaction(self._database) as session:
            count = session.scalar(select(func.count()).where(*own)) or 0
            if count >= BUTTONS_MAX:
                return Rejection(Outcome.CAPACITY, {"pay_buttons": str(count)})
            button = PayButton(
                id=f"pay_{self._entropy(ID_SIZE).hex()}",
                store_id=store_id,
                name=request.name,
                amount=request.amount,
                currency=request.currency,
                tokens=" ".join(request.tokens),
                redirect_url=request.redirect_url,
                created_ns=self._clock(),
            )
            session.add(button)
            session.flush()
            session.expunge(button)
            return button

    def of_store(self, store_id: str) -> list[PayButton]:
        """Return a store's buttons that sell, the newest first. On any thread."""
        own = (PayButton.store_id == store_id, PayButton.ended_ns.is_(None))
        newest = select(PayButton).where(*own).order_by(PayButton.created_ns.desc(), PayButton.id)
        with reading(self._database) as session:
            return list(session.scalars(newest.limit(BUTTONS_MAX)))

    def end(self, store_id: str, button_id: str) -> PayButton | Rejection:
        """Let a button sell no more; again is once. Rejects NOT_FOUND."""
        with transaction(self._database) as session:
            button = session.get(PayButton, button_id)
            if button is None or button.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"pay_button": button_id})
            if button.ended_ns is None:
                button.ended_ns = self._clock()
            session.flush()
            session.expunge(button)
            return button

    def shown(self, store_id: str, button_id: str) -> ButtonShown | None:
        """Return a store's button that sells; None if there is none. On any thread."""
        with reading(self._database) as session:
            button = session.get(PayButton, button_id)
            if button is None or button.store_id != store_id or button.ended_ns is not None:
                return None
            shop = session.get_one(Store, store_id).name
            session.expunge(button)
            return ButtonShown(shop, button, embedders_of(session, store_id))
