"""Does a JavaScript wallet sign the bytes that Python computes and Solidity checks?"""

import json
import random
import shutil
import subprocess
from typing import Any, NamedTuple

import pytest
from web3 import Web3

from settlement.contracts import build_artifacts
from settlement.protocol import eip712
from settlement.protocol.eip712 import KeyGrant, KeyRevocation
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal
from tests.chain.contract_rig import ADMIN, OPERATOR, Rig, Wallet, chain, wallet

__all__ = ["chain"]

SCRIPT = build_artifacts.HERE / "test" / "wallet" / "sign.mjs"
ROUNDS = 12

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        shutil.which("node") is None
        or not (build_artifacts.HERE / "node_modules" / "ethers").is_dir(),
        reason="needs node and ethers from npm (see settlement/contracts/package.json)",
    ),
]


class Signed(NamedTuple):
    """A struct as all three see it: its type string and values, and Python's digest. Of one that
    is a leaf and never signed by itself, ``digest`` is its struct hash."""

    type_string: str
    values: tuple[Any, ...]
    digest: bytes
    signer: Wallet


def draw(dice: random.Random, kind: str) -> Any:
    """Draw a value of a Solidity type; the ends of its range are as likely as all between."""
    if kind == "address":
        return dice.randbytes(20)
    if kind == "bytes32":
        return dice.randbytes(32)
    most = 2 ** int(kind.removeprefix("uint")) - 1
    return dice.choice([0, most, dice.randint(0, most)])


def fields_of(type_string: str) -> list[dict[str, str]]:
    inner = type_string[type_string.index("(") + 1 : -1]
    return [dict(zip(("type", "name"), f.split(" "), strict=True)) for f in inner.split(",")]


def drawn(fixtures: Rig) -> list[Signed]:
    """Draw each struct a few times, with Python's digest."""
    dice, domain = random.Random(712), fixtures.domain
    signed = []
    for number in range(ROUNDS):
        for type_string in (
            eip712.ORDER_TYPE,
            eip712.WITHDRAWAL_TYPE,
            eip712.COUNTERSIGNATURE_TYPE,
            eip712.GRANT_TYPE,
            eip712.REVOCATION_TYPE,
            eip712.ACKNOWLEDGEMENT_TYPE,
            eip712.ACKNOWLEDGEMENTS_TYPE,
        ):
            values = tuple(draw(dice, field["type"]) for field in fields_of(type_string))
            if type_string == eip712.ORDER_TYPE:
                order = SignedOrder(*values, signature=b"", signer=b"", digest=b"")
                digest = eip712.order_digest(domain, order)
            elif type_string == eip712.WITHDRAWAL_TYPE:
                account, token, amount, to, nonce, expiry = values
                withdrawal = SignedWithdrawal(account, token, to, amount, nonce, expiry, b"", b"")
                digest = eip712.withdrawal_digest(domain, withdrawal)
            elif type_string == eip712.COUNTERSIGNATURE_TYPE:
                digest = eip712.countersignature_digest(domain, *values)
            elif type_string == eip712.GRANT_TYPE:
                digest = eip712.grant_digest(domain, KeyGrant(*values))
            elif type_string == eip712.REVOCATION_TYPE:
                digest = eip712.revocation_digest(domain, KeyRevocation(*values))
            elif type_string == eip712.ACKNOWLEDGEMENT_TYPE:
                digest = eip712.acknowledgement_leaf(*values)
            else:
                digest = eip712.acknowledgements_digest(domain, *values)
            signed.append(Signed(type_string, values, digest, wallet(1_000 + number)))
    return signed


def javascript(fixtures: Rig, signed: list[Signed]) -> list[list[str]]:
    """Ask the wallet library for digests and signatures, all in one run."""
    domain = {
        "name": eip712.DOMAIN_NAME,
        "version": eip712.DOMAIN_VERSION,
        "chainId": fixtures.domain.chain_id,
        "verifyingContract": Web3.to_checksum_address(fixtures.domain.contract),
    }
    asked = []
    for one in signed:
        fields = fields_of(one.type_string)
        # Large numbers as text, because JavaScript's own end at 2**53.
        texts = ["0x" + v.hex() if isinstance(v, bytes) else str(v) for v in one.values]
        asked.append(
            {
                "secret": "0x" + one.signer.secret.hex(),
                "domain": domain,
                "types": {one.type_string[: one.type_string.index("(")]: fields},
                "value": dict(zip((f["name"] for f in fields), texts, strict=True)),
            }
        )
    run = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    told: list[list[str]] = json.loads(run.stdout)
    return told


def test_python_solidity_and_javascript_sign_the_same_bytes(chain: Rig) -> None:
    bond = chain.deploy("Bond", chain.exchange, chain.quote, OPERATOR.address, ADMIN.address)
    views = {
        eip712.ORDER_TYPE: ("orderDigest", "Exchange", chain.exchange),
        eip712.WITHDRAWAL_TYPE: ("withdrawalDigest", "Exchange", chain.exchange),
        eip712.GRANT_TYPE: ("grantDigest", "Exchange", chain.exchange),
        eip712.ACKNOWLEDGEMENT_TYPE: ("acknowledgementLeaf", "Bond", bond),
        eip712.ACKNOWLEDGEMENTS_TYPE: ("acknowledgementsDigest", "Bond", bond),
    }
    signed = drawn(chain)
    for one, told in zip(signed, javascript(chain, signed), strict=True):
        digest, signature, struct_hash = told
        is_leaf = one.type_string == eip712.ACKNOWLEDGEMENT_TYPE
        assert (struct_hash if is_leaf else digest) == "0x" + one.digest.hex(), one.type_string
        # The contract shows no digest of countersignatures and revocations: that withdrawals are
        # paid and keys taken back says it.
        if one.type_string in views:
            name, contract, at = views[one.type_string]
            # A struct is one argument; a root is an argument by itself.
            argument = one.values if len(one.values) > 1 else one.values[0]
            assert chain.call(name, argument, contract=contract, at=at) == one.digest
        if not is_leaf:
            assert signature == "0x" + eip712.sign(one.digest, one.signer.secret).hex()
            recovered = eip712.recover(one.digest, bytes.fromhex(signature[2:]))
            assert recovered == one.signer.address
