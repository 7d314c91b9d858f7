"""Could a withdrawal be paid, if the operator countersigned it now?

What can be known before there is a signature that anybody may use: whether it still lasts, and
whether its token lets the custodian pay that receiver. The vault's balance is the ledger's affair.
"""

from collections.abc import Callable
from typing import Final

from settlement.attachments import SignedWithdrawal
from settlement.batch import encode_call
from settlement.catalog import Catalog
from settlement.chain import CallRevertedError, Chain
from settlement.refusals import in_words

NS: Final = 10**9


class TransferTrial:
    """Lets the custodian pay in a call that changes nothing."""

    def __init__(
        self, chain: Chain, catalog: Catalog, custodian: bytes, now_ns: Callable[[], int]
    ) -> None:
        self._chain = chain
        self._catalog = catalog
        self._custodian = custodian
        self._now_ns = now_ns

    def __call__(self, withdrawal: SignedWithdrawal) -> str | None:
        """Return why it could not be paid; see ``settlement.returns.Trial``."""
        if withdrawal.expiry * NS <= self._now_ns():
            return f"Expired({withdrawal.expiry}, {self._now_ns() // NS})"
        token = self._catalog.token_by_address(withdrawal.token)
        assert token is not None, "it was debited"
        raw = token.raw_of(withdrawal.amount)
        call = encode_call("transfer", withdrawal.to, raw, contract="TestToken")
        try:
            answer = self._chain.call(token.address, call, sender=self._custodian)
        except CallRevertedError as refused:
            return in_words(refused.output) or refused.reason or "the token refuses"
        # A token may answer nothing at all; what answers must answer yes.
        return "the token answers no" if answer and not any(answer) else None
