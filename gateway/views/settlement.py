"""How do pages and merchants see settlement?"""

from collections.abc import Sequence

from gateway.views.trade_states import BATCHES_KEPT, BatchView, TradeStates
from settlement.audit.proofs import TradeProof
from settlement.audit.standings import Standing, Standings
from settlement.outbox.actions import BatchState, WithdrawalState
from settlement.ports import GrantState, TradeState
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import KeyGrant, KeyRevocation
from settlement.settler import BUSTED, STATE_NAMES, Settler
from settlement.watching.watcher import Watcher


class SettlementDesk:
    """The settler as pages and merchants see it: an address given out is an address watched."""

    def __init__(self, settler: Settler, watcher: Watcher, standings: Standings) -> None:
        self._standings = standings
        self._settler = settler
        self._watcher = watcher
        self._states = TradeStates(self._older)
        self._states.load(map(_view, settler.batches(BATCHES_KEPT)))

    def trade_state(self, trade_id: int) -> TradeState:
        """See ``SettlementPort``; from memory, for anybody may ask for hundreds of trades."""
        if self._settler.queue.is_busted(trade_id):
            return BUSTED
        return self._states.of(trade_id)

    def batches(self, limit: int) -> list[BatchView]:
        """Return up to ``limit`` batches, newest first."""
        return self._states.newest(limit)

    def settlement_changed(self, first_trade: int, last_trade: int, reached: TradeState) -> None:
        """See ``SettlementListener``; it has to hear before whoever asks it."""
        state, number, tx_hash = reached
        assert number is not None, "every batch has a number"
        self._states.changed(BatchView(number, state, first_trade, last_trade, tx_hash))

    def _older(self, trade_id: int) -> BatchView | None:
        found = self._settler.batch_of_trade(trade_id)
        return None if found is None else _view(found)

    def enqueue_sweeps(self, places: Sequence[SweepPlace]) -> None:
        """See ``SettlementPort``."""
        self._settler.enqueue_sweeps(places)

    def compared(self, account: bytes) -> Standing | None:
        """See ``SettlementPort``."""
        return self._standings.of(account)

    def lying(self, address: bytes, tokens: Sequence[bytes]) -> dict[bytes, int] | None:
        """See ``SettlementPort``."""
        return self._settler.lying(address, tokens)

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        """See ``SettlementPort``."""
        self._settler.enqueue_grant(grant, signature)

    def enqueue_revocation(self, revocation: KeyRevocation, signature: bytes) -> bool:
        """See ``SettlementPort``."""
        return self._settler.enqueue_revocation(revocation, signature)

    def vouches(self, wallet: bytes, digest: bytes, signature: bytes) -> bool | None:
        """See ``SettlementPort``."""
        return self._settler.vouches(wallet, digest, signature)

    def grant_state(self, signature: bytes) -> GrantState | None:
        """Return how far the relay of a grant is; from the outbox, on any thread."""
        return self._settler.grant_state(signature)

    def withdrawal_states(self, sequences: Sequence[int]) -> dict[int, WithdrawalState]:
        """Return how far withdrawals are; from the outbox, on any thread."""
        return self._settler.withdrawal_states(sequences)

    def receipt(self, trade_id: int) -> TradeProof | None:
        """Return the proof of one trade; from the outbox, on any thread."""
        return self._settler.receipt(trade_id)

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

    def receipts(self, account: bytes, ref: bytes, trade_ids: list[int]) -> list[TradeProof]:
        """See ``SettlementPort``."""
        return self._settler.receipts(account, ref, trade_ids)


def _view(found: BatchState) -> BatchView:
    batch = found.batch
    return BatchView(
        batch.number, STATE_NAMES[found.state], batch.first_trade, batch.last_trade, found.tx_hash
    )
