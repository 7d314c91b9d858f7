"""How does the admin of the contract list one more token, once however often he asks?"""

from typing import Final

from settlement.chain.chain import CallRevertedError, Sending
from settlement.chain.deploy import DeploymentError
from settlement.chain.deploying import EstimatingChain, Terms
from settlement.chain.reverts import in_words
from settlement.chain.signer import Signer, Transaction
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import keccak256

GAS_MAX: Final = 500_000


def number_on_chain(chain: EstimatingChain, exchange: bytes, token: bytes) -> int | None:
    """Return the number that the contract has given to ``token``; None if it is not listed."""
    try:
        answer = chain.call(exchange, encode_call("tokenNumber", token))
    except CallRevertedError:
        return None
    return int.from_bytes(answer, "big")


def list_on_chain(
    chain: EstimatingChain,
    exchange: bytes,
    admin: Signer,
    token: bytes,
    unit_scale: int,
    terms: Terms,
) -> int:
    """Return the token's number, after listing it if it is not listed, and after the
    confirmations. Raises ``DeploymentError`` and ``ChainUnavailableError``."""
    number = number_on_chain(chain, exchange, token)
    if number is not None:
        return number
    calldata = encode_call("listToken", token, unit_scale)
    try:
        used = chain.estimate_gas(admin.address, exchange, calldata)
    except CallRevertedError as refused:
        why = in_words(refused.output) or refused.reason
        raise DeploymentError(f"the contract does not list it: {why}") from None
    fee = terms.fee_max_wei or 2 * chain.base_fee() + terms.tip_wei
    nonce = chain.nonce(admin.address, pending=False)
    raw = admin.sign_transaction(
        Transaction(
            *(chain.chain_id, nonce, exchange, calldata),
            *(min(2 * used, GAS_MAX), fee, min(terms.tip_wei, fee)),
        )
    )
    sent = chain.send_raw(raw)
    if sent.sending is Sending.REJECTED:
        raise DeploymentError(f"the node refuses it: {sent.reason}")
    for _ in range(terms.polls_max):
        receipt = chain.receipt(keccak256(raw))
        if receipt is not None and not receipt.succeeded:
            raise DeploymentError("the contract has refused to list it")
        depth = 0 if receipt is None else chain.head().number - receipt.block_number + 1
        number = number_on_chain(chain, exchange, token) if depth >= terms.confirmations else None
        if number is not None:
            return number
        terms.pause()
    raise DeploymentError("the listing is not confirmed yet; ask again, it is done once")
