"""By which roads does a payer's wallet bring an invoice's money, and what is it asked for each?

A plain transfer to the invoice's address, or a deposit into the vault with the invoice's ref: after
an approval, or by a signature for the ``Collector``. Calldata and typed data are composed here and
a page passes them on as they are. Where a signature belongs into calldata, the calldata is told
without its end and ``append`` says which words of the signature that is.
"""

from typing import Any, Final, Literal, NamedTuple

import msgspec
from eth_abi.abi import encode

from settlement.protocol.abi import encode_call
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import SIGNATURE_SIZE, keccak256

PERMIT2: Final = bytes.fromhex("000000000022d473030f116ddee9f6b43ac78ba3")
SIGNED_WORDS: Final = 96
"""Bytes of calldata that a signature fills, in each of the three forms."""

Road = Literal["transfer", "permit", "authorization", "permit2", "approve"]


class SigningDomain(NamedTuple):
    """The EIP-712 name and version that a token signs under."""

    name: str
    version: str


class TokenRoads(NamedTuple):
    """What a token is known to do beside ERC-20; nothing is guessed."""

    permit: SigningDomain | None = None
    """ERC-2612."""
    authorization: SigningDomain | None = None
    """ERC-3009."""
    permit2: bool = False


PLAIN: Final = TokenRoads()


class Vault(NamedTuple):
    """Where deposits go. An empty ``collector`` takes none by signature."""

    chain_id: int
    exchange: bytes
    collector: bytes = b""
    permit2: bytes = PERMIT2


class Bill(NamedTuple):
    """What is to be paid: ``raw`` of ``token``, to ``address``, or into ``account`` for ``ref``."""

    token: bytes
    raw: int
    address: bytes
    account: bytes
    ref: bytes


class Fresh(NamedTuple):
    """What makes a signature good once and not for ever: 32 bytes of dice, unix seconds."""

    salt: bytes
    deadline: int


class Approve(msgspec.Struct, frozen=True, tag="approve", tag_field="kind"):
    """Let ``spender`` take ``raw``: ``check`` asks the token how much it may, and if that is less,
    ``data`` is sent; before it ``reset`` where it may take something, for some tokens want that."""

    to: str
    check: str
    raw: str
    data: str
    reset: str


class Sign(msgspec.Struct, frozen=True, tag="sign", tag_field="kind"):
    """Sign typed data; where there is a ``nonce_call`` its answer is the message's ``nonce``."""

    typed: dict[str, Any]
    to: str
    nonce_call: str


class Send(msgspec.Struct, frozen=True, tag="send", tag_field="kind"):
    """Send a transaction. ``append`` is the end of its data: nothing, or the signature as words v,
    r, s, or as the bytes r, s, v filled up to three words."""

    to: str
    data: str
    append: Literal["", "vrs", "rsv"] = ""


class Steps(msgspec.Struct, frozen=True):
    """One road, in the order it is gone."""

    road: Road
    steps: list[Approve | Sign | Send]


def roads_of(
    vault: Vault, bill: Bill, payer: bytes, token: TokenRoads, fresh: Fresh
) -> list[Steps]:
    """Return the roads that there are for a token, the one that asks least of the payer first."""
    assert bill.raw > 0, "nothing to pay, nothing to ask"
    transfer = encode_call("transfer", bill.address, bill.raw, contract="TestToken")
    roads = [Steps("transfer", [Send(_hex(bill.token), _hex(transfer))])]
    if vault.collector and token.authorization is not None:
        roads.append(_by_authorization(vault, bill, payer, token.authorization, fresh))
    if vault.collector and token.permit is not None:
        roads.append(_by_permit(vault, bill, payer, token.permit, fresh))
    if vault.collector and token.permit2:
        roads.append(_by_permit2(vault, bill, payer, fresh))
    deposit = encode_call("deposit", bill.token, bill.raw, bill.account, bill.ref)
    approve = _approve(bill, payer, vault.exchange)
    roads.append(Steps("approve", [approve, Send(_hex(vault.exchange), _hex(deposit))]))
    return roads


def token_domain(chain_id: int, token: bytes, domain: SigningDomain) -> dict[str, Any]:
    """Return the EIP-712 domain of a token, as wallets take it."""
    return {
        "name": domain.name,
        "version": domain.version,
        "chainId": chain_id,
        "verifyingContract": checksum_address(token),
    }


def _by_permit(
    vault: Vault, bill: Bill, payer: bytes, domain: SigningDomain, fresh: Fresh
) -> Steps:
    fields = {
        "owner": "address",
        "spender": "address",
        "value": "uint256",
        "nonce": "uint256",
        "deadline": "uint256",
    }
    message = {
        "owner": _hex(payer),
        "spender": _hex(vault.collector),
        "value": str(bill.raw),
        "nonce": "0",
        "deadline": str(fresh.deadline),
    }
    typed = _typed(token_domain(vault.chain_id, bill.token, domain), "Permit", fields, message)
    nonces = encode_call("nonces", payer, contract="TestToken")
    call = encode_call(
        "depositWithPermit",
        *(bill.token, bill.raw, bill.account, bill.ref, fresh.deadline, 0, bytes(32), bytes(32)),
        contract="Collector",
    )
    sign = Sign(typed, _hex(bill.token), _hex(nonces))
    return Steps("permit", [sign, _signed(vault, call, "vrs")])


def _by_authorization(
    vault: Vault, bill: Bill, payer: bytes, domain: SigningDomain, fresh: Fresh
) -> Steps:
    fields = {
        "from": "address",
        "to": "address",
        "value": "uint256",
        "validAfter": "uint256",
        "validBefore": "uint256",
        "nonce": "bytes32",
    }
    words = encode(("address", "bytes32", "bytes32"), (bill.account, bill.ref, fresh.salt))
    message = {
        "from": _hex(payer),
        "to": _hex(vault.collector),
        "value": str(bill.raw),
        "validAfter": "0",
        "validBefore": str(fresh.deadline),
        "nonce": _hex(keccak256(words)),
    }
    kind = "ReceiveWithAuthorization"
    typed = _typed(token_domain(vault.chain_id, bill.token, domain), kind, fields, message)
    call = encode_call(
        "depositWithAuthorization",
        *(bill.token, payer, bill.raw, bill.account, bill.ref, 0, fresh.deadline, fresh.salt),
        *(0, bytes(32), bytes(32)),
        contract="Collector",
    )
    return Steps("authorization", [Sign(typed, "", ""), _signed(vault, call, "vrs")])


def _by_permit2(vault: Vault, bill: Bill, payer: bytes, fresh: Fresh) -> Steps:
    nonce = int.from_bytes(fresh.salt, "big")
    domain = {
        "name": "Permit2",
        "chainId": vault.chain_id,
        "verifyingContract": checksum_address(vault.permit2),
    }
    fields = {
        "permitted": "TokenPermissions",
        "spender": "address",
        "nonce": "uint256",
        "deadline": "uint256",
        "witness": "Deposit",
    }
    message = {
        "permitted": {"token": _hex(bill.token), "amount": str(bill.raw)},
        "spender": _hex(vault.collector),
        "nonce": str(nonce),
        "deadline": str(fresh.deadline),
        "witness": {"account": _hex(bill.account), "ref": _hex(bill.ref)},
    }
    typed = _typed(domain, "PermitWitnessTransferFrom", fields, message)
    typed["types"]["TokenPermissions"] = _members({"token": "address", "amount": "uint256"})
    typed["types"]["Deposit"] = _members({"account": "address", "ref": "bytes32"})
    call = encode_call(
        "depositWithPermit2",
        ((bill.token, bill.raw), nonce, fresh.deadline),
        *(payer, bill.account, bill.ref, bytes(SIGNATURE_SIZE)),
        contract="Collector",
    )
    approve = _approve(bill, payer, vault.permit2)
    return Steps("permit2", [approve, Sign(typed, "", ""), _signed(vault, call, "rsv")])


def _signed(vault: Vault, call: bytes, append: Literal["vrs", "rsv"]) -> Send:
    assert not any(call[-SIGNED_WORDS:]), "the signature's words are the last, and empty yet"
    return Send(_hex(vault.collector), _hex(call[:-SIGNED_WORDS]), append)


def _approve(bill: Bill, payer: bytes, spender: bytes) -> Approve:
    def call(name: str, *args: bytes | int) -> str:
        return _hex(encode_call(name, *args, contract="TestToken"))

    return Approve(
        to=_hex(bill.token),
        check=call("allowance", payer, spender),
        raw=str(bill.raw),
        data=call("approve", spender, bill.raw),
        reset=call("approve", spender, 0),
    )


def _typed(
    domain: dict[str, Any], kind: str, fields: dict[str, str], message: dict[str, Any]
) -> dict[str, Any]:
    kinds = {
        "name": "string",
        "version": "string",
        "chainId": "uint256",
        "verifyingContract": "address",
    }
    types = {
        "EIP712Domain": _members({name: kinds[name] for name in domain}),
        kind: _members(fields),
    }
    return {"types": types, "primaryType": kind, "domain": domain, "message": message}


def _members(fields: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in fields.items()]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
