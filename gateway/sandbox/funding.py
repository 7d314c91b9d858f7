"""How does somebody come to have money in the vault?

Mint worthless tokens, approve, deposit: three plain transactions. Each looks at the chain first,
so that doing it all again after a crash adds nothing.
"""

from gateway.sandbox.wallet import Wallet
from settlement.chain.chain import Chain
from settlement.chain.deploy import Deployment
from settlement.orders.catalog import Token
from settlement.protocol.abi import encode_call


def number_at(chain: Chain, contract: bytes, calldata: bytes) -> int:
    """Return the number that a view answers with."""
    return int.from_bytes(chain.call(contract, calldata), "big")


def vault_pips(chain: Chain, deployment: Deployment, account: bytes, token: bytes) -> int:
    """Return what the contract holds for ``account``, in pips, as the chain says now."""
    return number_at(chain, deployment.exchange, encode_call("balanceOf", account, token))


def wallet_raw(chain: Chain, account: bytes, token: bytes) -> int:
    """Return what lies in the wallet itself, in raw units."""
    return number_at(chain, token, encode_call("balanceOf", account, contract="TestToken"))


def fill_wallet(chain: Chain, wallet: Wallet, token: Token, raw: int) -> bytes | None:
    """See that ``wallet`` has ``raw`` units; return the transaction if one was needed."""
    missing = raw - wallet_raw(chain, wallet.address, token.address)
    if missing <= 0:
        return None
    mint = encode_call("mint", wallet.address, missing, contract="TestToken")
    return wallet.transact(token.address, mint).tx_hash


def fill_vault(
    chain: Chain, deployment: Deployment, wallet: Wallet, token: Token, pips: int
) -> bytes | None:
    """Deposit ``pips`` unless the account has had a deposit of the token already."""
    if vault_pips(chain, deployment, wallet.address, token.address):
        return None
    raw = token.raw_of(pips)
    fill_wallet(chain, wallet, token, raw)
    return _deposit(deployment, wallet, wallet.address, token, raw)


def give(
    chain: Chain, deployment: Deployment, giver: Wallet, account: bytes, token: Token, pips: int
) -> None:
    """Pay ``pips`` into the vault for ``account``, and as much into its wallet."""
    raw = token.raw_of(pips)
    giver.transact(token.address, encode_call("mint", account, raw, contract="TestToken"))
    fill_wallet(chain, giver, token, raw)
    _deposit(deployment, giver, account, token, raw)


def _deposit(
    deployment: Deployment, payer: Wallet, account: bytes, token: Token, raw: int
) -> bytes:
    approve = encode_call("approve", deployment.exchange, raw, contract="TestToken")
    payer.transact(token.address, approve)
    deposit = encode_call("deposit", token.address, raw, account, bytes(32))
    return payer.transact(deployment.exchange, deposit).tx_hash
