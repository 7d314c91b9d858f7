"""Who wanted each cancel and each amendment?

The session of its owner, by the signature that opened it; the chain, by a log entry after which the
order could not settle; or the operator, who says so and why. Whoever else took an order off the
book has none of these, and is found.
"""

from collections.abc import Iterator
from typing import Final

from engine.commands import Kind
from engine.log_entries import CommandRow
from engine.types import ALL_ACCOUNTS
from settlement.audit.onchain import CLOCKS_APART_S, LaneCancel, Published
from settlement.audit.trades import TradeBook
from settlement.orders.catalog import Catalog
from settlement.protocol.eip712 import Domain
from settlement.protocol.evidence import (
    UPPER_HALF,
    AnyAttachment,
    ChainReason,
    OperatorAction,
    SessionLogin,
    SessionProof,
    SignedOrder,
    SiweLogin,
)
from settlement.protocol.session_proofs import BadProof, life_of

REQUEST_KINDS: Final = frozenset({Kind.CANCEL, Kind.CANCEL_ALL, Kind.CANCEL_AFTER, Kind.AMEND})

NS: Final = 10**9


class RequestBook:
    """Follows cancels and amendments. The catalog must be ahead."""

    def __init__(
        self,
        domain: Domain,
        published: Published,
        catalog: Catalog,
        orders: TradeBook,
    ) -> None:
        """``orders`` knows the signed order behind an engine's id."""
        self._domain = domain
        self._published = published
        self._catalog = catalog
        self._orders = orders

    def follow(self, row: CommandRow, attachment: AnyAttachment | None) -> Iterator[str]:
        """Take one cancel or amendment; yield what is wrong with who wanted it."""
        match attachment:
            case SessionLogin() | SiweLogin():
                yield from self._session_faults(row, attachment)
            case ChainReason():
                yield from self._chain_faults(row, attachment)
            case OperatorAction():
                return  # Counted with all else that an operator asks for.
            case _:
                yield f"nobody asked for this {Kind(row.kind).name}"

    def _session_faults(self, row: CommandRow, proof: SessionProof) -> Iterator[str]:
        if row.account == ALL_ACCOUNTS or row.account >= self._catalog.account_count:
            yield "a session asks for what is of no one account"
        elif self._catalog.address_of(row.account) != proof.account:
            yield f"0x{proof.account.hex()} asks for another account's"
        try:
            life = life_of(self._domain, proof)
        except BadProof as fault:
            yield f"no session asked for it: {fault}"
            return
        time_s = row.time_ns // NS
        if not life.first <= time_s <= life.last + CLOCKS_APART_S:
            yield f"the session that asks for it was from {life.first} to {life.last}"

    def _chain_faults(self, row: CommandRow, reason: ChainReason) -> Iterator[str]:
        where = f"transaction 0x{reason.tx_hash.hex()}"
        if row.kind != Kind.CANCEL:
            yield "the chain cancels single orders and does nothing else"
            return
        order = self._orders.order(row.order_id)
        if order is None:
            yield f"it cancels, because of {where}, an order that never was"
            return
        if (reason.tx_hash, order.account, order.signer) in self._published.revocations:
            if not self._was_revoked_since(order, self._orders.accepted_s(row.order_id)):
                yield f"the key was revoked in {where}, long before order {row.order_id} was taken"
            return
        half = bool(order.flags & UPPER_HALF)
        wanted = LaneCancel(reason.tx_hash, order.account, order.lane, half)
        if self._published.lane_cancels.get(wanted, -1) < order.nonce:
            yield f"the chain says nothing against order {row.order_id} in {where}"

    def _was_revoked_since(self, order: SignedOrder, accepted_s: int) -> bool:
        """A revocation is over when its key is granted again: it ends no order that came behind."""
        changes = self._published.keys.get((order.account, order.signer), ())
        return any(
            not change.is_granted and accepted_s <= change.time_s + CLOCKS_APART_S
            for change in changes
        )
