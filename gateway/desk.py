"""How do pages and merchants see settlement?"""

from gateway.services import BatchView
from settlement.eip712 import KeyGrant
from settlement.ports import TradeState
from settlement.receipts import TradeReceipt
from settlement.settler import STATE_NAMES, Settler
from settlement.watcher import Watcher


class SettlementDesk:
    """The settler as pages and merchants see it: an address given out is an address watched."""

    def __init__(self, settler: Settler, watcher: Watcher) -> None:
        self._settler = settler
        self._watcher = watcher

    def trade_state(self, trade_id: int) -> TradeState:
        """See ``SettlementPort``."""
        return self._settler.trade_state(trade_id)

    def batches(self, limit: int) -> list[BatchView]:
        """Return up to ``limit`` batches, newest first."""
        return [
            BatchView(
                found.batch.number,
                STATE_NAMES[found.state],
                found.batch.first_trade,
                found.batch.last_trade,
                found.tx_hash,
            )
            for found in self._settler.batches(limit)
        ]

    def enqueue_sweep(self, account: bytes, ref: bytes, token: bytes) -> None:
        """See ``SettlementPort``."""
        self._settler.enqueue_sweep(account, ref, token)

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        """See ``SettlementPort``."""
        self._settler.enqueue_grant(grant, signature)

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        """See ``SettlementPort``."""
        address = self._settler.deposit_address(account, ref)
        self._watcher.watch(address)
        return address

    def unwatch(self, address: bytes) -> None:
        """See ``SettlementPort``."""
        self._watcher.unwatch(address)

    def newest_block(self) -> int:
        """See ``SettlementPort``."""
        return self._watcher.head

    def receipts(self, account: bytes, ref: bytes, trade_ids: list[int]) -> list[TradeReceipt]:
        """See ``SettlementPort``."""
        return self._settler.receipts(account, ref, trade_ids)
