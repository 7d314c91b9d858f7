"""What do refunds need of the service around them: where news comes from, and when to act?"""

from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from engine.log_entries import LogEntry
from merchants.sales.reference_prices import Prices
from merchants.sales.refund_keys import RefundKeys
from merchants.sales.refund_payouts import RefundPayouts
from merchants.sales.refunds import Refunds
from merchants.stores.keyring import Keyring
from settlement.ports import ExchangePort, SettlementPort
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal, evidence_of


class RefundDesk:
    """Refunds, what pays them, and the stores' refund keys."""

    def __init__(
        self,
        database: Engine,
        exchange: ExchangePort,
        settlement: SettlementPort,
        prices: Prices,
        keyring: Keyring,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        follow: Callable[[bytes], None],
    ) -> None:
        """``follow`` is told of each account that is made."""
        self.refunds = Refunds(
            database=database,
            exchange=exchange,
            prices=prices,
            keyring=keyring,
            clock=clock,
            entropy=entropy,
        )
        self.payouts = RefundPayouts(
            database=database,
            exchange=exchange,
            settlement=settlement,
            refunds=self.refunds,
            clock=clock,
        )
        self.keys = RefundKeys(
            database=database,
            exchange=exchange,
            settlement=settlement,
            prices=prices,
            keyring=keyring,
            payouts=self.payouts,
            clock=clock,
            entropy=entropy,
            follow=follow,
        )

    def take(self, session: Session, entry: LogEntry) -> None:
        """Learn from the journal what became of a withdrawal or an order of ours."""
        evidence = evidence_of(entry)
        if isinstance(evidence, SignedWithdrawal):
            self.payouts.take_withdrawal(session, entry)
        elif isinstance(evidence, SignedOrder):
            self.keys.take_order(session, entry)

    async def send_due(self) -> None:
        """Send what is signed, and ask how far is what was sent."""
        await self.keys.place_due()
        await self.payouts.send_due()
        await self.payouts.follow_due()
