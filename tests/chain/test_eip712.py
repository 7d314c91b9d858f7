"""Do wallet, Python and Solidity agree on what is signed?"""

from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import Web3

from settlement.protocol import eip712
from settlement.protocol.eip712 import Domain, KeyGrant, KeyRevocation, keccak256
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal
from tests.chain.contract_rig import Rig, chain, wallet

__all__ = ["chain"]

addresses = st.binary(min_size=20, max_size=20)
refs = st.binary(min_size=32, max_size=32)
uint8, uint16 = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1)
uint32, uint64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)

orders = st.builds(
    SignedOrder,
    account=addresses,
    nonce=uint64,
    flags=uint16,
    lane=uint16,
    base=addresses,
    quote=addresses,
    base_amount=uint64,
    quote_amount=uint64,
    trigger_or_display=uint64,
    expiry=uint32,
    max_fee_ppm=uint16,
    ref=refs,
    signature=st.just(b""),
    signer=st.just(b""),
    digest=st.just(b""),
)
withdrawals = st.builds(
    SignedWithdrawal,
    account=addresses,
    token=addresses,
    to=addresses,
    amount=uint64,
    nonce=uint64,
    expiry=uint32,
    signature=st.just(b""),
    digest=st.just(b""),
)
grants = st.builds(
    KeyGrant, addresses, addresses, addresses, addresses, uint8, uint32, uint64, uint64, uint64
)
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

few = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fields_of(type_string: str) -> list[dict[str, str]]:
    """Read the fields off an EIP-712 type string."""
    inner = type_string[type_string.index("(") + 1 : -1]
    return [dict(zip(("type", "name"), f.split(" "), strict=True)) for f in inner.split(",")]


def wallet_digest(domain: Domain, type_string: str, values: tuple[Any, ...]) -> bytes:
    """The digest as eth-account computes it, from the type tree, like a wallet."""
    name, fields = type_string[: type_string.index("(")], fields_of(type_string)
    message = encode_typed_data(
        full_message={
            "types": {"EIP712Domain": fields_of(eip712.DOMAIN_TYPE), name: fields},
            "primaryType": name,
            "domain": {
                "name": eip712.DOMAIN_NAME,
                "version": eip712.DOMAIN_VERSION,
                "chainId": domain.chain_id,
                "verifyingContract": Web3.to_checksum_address(domain.contract),
            },
            "message": {f["name"]: v for f, v in zip(fields, values, strict=True)},
        }
    )
    return keccak256(b"\x19" + message.version + message.header + message.body)


def order_values(o: SignedOrder) -> tuple[Any, ...]:
    amounts = (o.base_amount, o.quote_amount, o.trigger_or_display)
    last = (o.expiry, o.max_fee_ppm, o.ref)
    return (o.account, o.nonce, o.flags, o.lane, o.base, o.quote, *amounts, *last)


def withdrawal_values(w: SignedWithdrawal) -> tuple[Any, ...]:
    return (w.account, w.token, w.amount, w.to, w.nonce, w.expiry)


@few
@given(order=orders)
def test_an_order_has_one_digest(chain: Rig, order: SignedOrder) -> None:
    values = order_values(order)
    ours = eip712.order_digest(chain.domain, order)
    assert ours == wallet_digest(chain.domain, eip712.ORDER_TYPE, values), "wallet"
    assert ours == chain.call("orderDigest", values), "contract"


@few
@given(withdrawal=withdrawals)
def test_a_withdrawal_has_one_digest(chain: Rig, withdrawal: SignedWithdrawal) -> None:
    values = withdrawal_values(withdrawal)
    ours = eip712.withdrawal_digest(chain.domain, withdrawal)
    assert ours == wallet_digest(chain.domain, eip712.WITHDRAWAL_TYPE, values), "wallet"
    assert ours == chain.call("withdrawalDigest", values), "contract"


@given(withdrawal=st.binary(min_size=32, max_size=32), after_sequence=uint64)
def test_a_countersignature_has_one_digest(withdrawal: bytes, after_sequence: int) -> None:
    domain = Domain(1, bytes(20))
    ours = eip712.countersignature_digest(domain, withdrawal, after_sequence)
    values = (withdrawal, after_sequence)
    assert ours == wallet_digest(domain, eip712.COUNTERSIGNATURE_TYPE, values), "wallet"


@few
@given(grant=grants)
def test_a_grant_has_one_digest(chain: Rig, grant: KeyGrant) -> None:
    ours = eip712.grant_digest(chain.domain, grant)
    assert ours == wallet_digest(chain.domain, eip712.GRANT_TYPE, tuple(grant)), "wallet"
    assert ours == chain.call("grantDigest", tuple(grant)), "contract"


@given(revocation=st.builds(KeyRevocation, addresses, addresses, uint64))
def test_a_revocation_has_one_digest(revocation: KeyRevocation) -> None:
    domain = Domain(1, bytes(20))
    ours = eip712.revocation_digest(domain, revocation)
    assert ours == wallet_digest(domain, eip712.REVOCATION_TYPE, tuple(revocation)), "wallet"


@given(account=addresses, issued_at=uint64)
def test_a_login_has_one_digest(account: bytes, issued_at: int) -> None:
    domain = Domain(1, bytes(20))
    ours = eip712.login_digest(domain, account, issued_at)
    assert ours == wallet_digest(domain, eip712.LOGIN_TYPE, (account, issued_at))


@given(order=orders, chain_id=st.integers(1, 2**64), contract=addresses)
def test_another_chain_or_contract_is_another_digest(
    order: SignedOrder, chain_id: int, contract: bytes
) -> None:
    here = Domain(chain_id, contract)
    other_contract = contract[:-1] + bytes([contract[-1] ^ 1])
    digests = {
        eip712.order_digest(domain, order)
        for domain in (here, Domain(chain_id + 1, contract), Domain(chain_id, other_contract))
    }
    assert len(digests) == 3


@given(digest=refs, secret=st.integers(1, 2**128))
def test_a_signature_is_the_wallets_and_recovers_to_it(digest: bytes, secret: int) -> None:
    signer = wallet(secret)
    signature = eip712.sign(digest, signer.secret)
    assert signature == Account.unsafe_sign_hash(digest, signer.secret).signature
    assert eip712.recover(digest, signature) == signer.address


@given(digest=refs, secret=st.integers(1, 2**128))
def test_the_twin_with_a_high_s_is_refused(digest: bytes, secret: int) -> None:
    good = eip712.sign(digest, wallet(secret).secret)
    s = CURVE_ORDER - int.from_bytes(good[32:64], "big")
    twin = good[:32] + s.to_bytes(32, "big") + bytes([55 - good[64]])
    assert Account._recover_hash(digest, signature=twin) is not None, "the twin is well formed"
    assert eip712.recover(digest, twin) is None, "and refused for its high s"
    assert eip712.recover(digest, good[:64]) is None, "compact form is for the contract only"
