"""Could a withdrawal be paid, if the operator countersigned it now?

What can be known before there is a signature that anybody may use: whether it still lasts, and not
longer than an exit; whether its owner has asked for the same money by an exit; and whether its
token lets the custodian pay that receiver. The vault's balance is the ledger's affair.

All of it is asked at the highest block that is known, as ``settlement.outbox.preflight`` does: a
node that lags would not see the exit, nor the tokens that have come since, and what is refused here
is final.
"""

from collections.abc import Callable
from typing import Final

from settlement.chain.chain import CallRevertedError, Chain, ChainUnavailableError
from settlement.chain.deploy import Deployment
from settlement.chain.reverts import in_words
from settlement.orders.catalog import Catalog, Token
from settlement.orders.nonces import NS
from settlement.orders.withdrawals import lasts_max_s
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import SignedWithdrawal

PAYING_GAS: Final = 75_000
"""What a withdrawal takes beside the token's transfer, less what any transaction costs: with the
rest of its gas the transfer has to do."""

UNTRIED_MAX_NS: Final = 600 * NS
"""How long a node that answers all else may leave a transfer untried before its owner has the money
back: nobody has countersigned it, and trades wait behind it."""

READY_AT: Final = 32
"""Where the second word of what ``exitOf`` returns begins: zero where there is no exit."""


class TransferTrial:
    """Lets the custodian pay in a call that changes nothing."""

    def __init__(
        self,
        chain: Chain,
        catalog: Catalog,
        deployment: Deployment,
        exit_delay_s: int,
        now_ns: Callable[[], int],
        newest: Callable[[], int],
        withdrawal_gas: int,
    ) -> None:
        """``newest`` returns the highest block that any node has shown, 0 before the first."""
        self._chain = chain
        self._catalog = catalog
        self._exchange, self._custodian = deployment.exchange, deployment.custodian
        self._lasts_max_s = lasts_max_s(exit_delay_s)
        self._now_ns = now_ns
        self._newest = newest
        self._gas = withdrawal_gas - PAYING_GAS
        self._untried: tuple[bytes, int] | None = None
        """The withdrawal that no node could try last, and since when: only one is first in line."""

    def __call__(self, withdrawal: SignedWithdrawal) -> str | None:
        """Return why it could not be paid; see ``settlement.repair.reversals.Trial``."""
        now_ns = self._now_ns()
        if withdrawal.expiry * NS <= now_ns:
            return f"Expired({withdrawal.expiry}, {now_ns // NS})"
        if withdrawal.expiry > now_ns // NS + self._lasts_max_s:
            return f"it lasts longer than {self._lasts_max_s} s"
        block = max(self._newest(), self._chain.head().number)
        if self._is_leaving(withdrawal, block):
            return "an exit of the same money is open"
        token = self._catalog.token_by_address(withdrawal.token)
        assert token is not None, "it was debited"
        return self._rejection_of(withdrawal, token, block)

    def _is_leaving(self, withdrawal: SignedWithdrawal, block: int) -> bool:
        """Has its owner an exit that the ledger need not know of yet?"""
        call = encode_call("exitOf", withdrawal.account, withdrawal.token)
        return any(self._chain.call(self._exchange, call, block)[READY_AT:])

    def _rejection_of(self, withdrawal: SignedWithdrawal, token: Token, block: int) -> str | None:
        raw = token.raw_of(withdrawal.amount)
        call = encode_call("transfer", withdrawal.to, raw, contract="TestToken")
        try:
            answer = self._chain.call(token.address, call, block, self._custodian, self._gas)
        except CallRevertedError as refused:
            return in_words(refused.output) or refused.reason or "the token refuses"
        except ChainUnavailableError:
            if not self._has_waited(withdrawal, block):
                raise
            return f"nothing could try it for {UNTRIED_MAX_NS // NS} s"
        # A token may answer nothing at all; what answers must answer yes.
        return "the token answers no" if answer and not any(answer) else None

    def _has_waited(self, withdrawal: SignedWithdrawal, block: int) -> bool:
        """Is it this transfer alone that gets no answer, and for long enough?"""
        if self._chain.block(block) is None:
            return False  # A node that lags: the transfer has nothing to do with it.
        now_ns = self._now_ns()
        digest, since_ns = self._untried or (b"", 0)
        if digest != withdrawal.digest:
            self._untried = withdrawal.digest, now_ns
            return False
        return now_ns - since_ns >= UNTRIED_MAX_NS
