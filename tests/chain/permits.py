"""How does a payer's wallet sign an ERC-2612 permit, and what does it send then?"""

from typing import Final

from eth_account import Account

from settlement.chain.chain import Chain
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import address_of_secret

FOREVER: Final = 2**48
PERMIT: Final = {
    "Permit": [
        {"name": "owner", "type": "address"},
        {"name": "spender", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ]
}


def deposit_with_permit(
    chain: Chain, token: bytes, name: str, collector: bytes, secret: bytes, raw: int, *to: bytes
) -> bytes:
    """Return calldata for the collector; ``to`` is the account to credit and the reference."""
    owner = address_of_secret(secret)
    nonce = chain.call(token, encode_call("nonces", owner, contract="TestToken"))
    signed = Account.sign_typed_data(
        secret,
        {
            "name": name,
            "version": "1",
            "chainId": chain.chain_id,
            "verifyingContract": "0x" + token.hex(),
        },
        PERMIT,
        {
            "owner": "0x" + owner.hex(),
            "spender": "0x" + collector.hex(),
            "value": raw,
            "nonce": int.from_bytes(nonce, "big"),
            "deadline": FOREVER,
        },
    )
    r, s = (part.to_bytes(32, "big") for part in (signed.r, signed.s))
    account, ref = to
    return encode_call(
        "depositWithPermit",
        *(token, raw, account, ref, FOREVER, signed.v, r, s),
        contract="Collector",
    )
