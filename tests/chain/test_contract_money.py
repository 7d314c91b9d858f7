"""Do deposits, exits, withdrawals and invoice addresses keep every unit, at 6 and 18 decimals?"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import Web3

from settlement.protocol import eip712
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import deposit_address
from settlement.protocol.evidence import ZERO_REF, SignedWithdrawal
from tests.chain.contract_rig import EXIT_DELAY, OPERATOR, Refused, Rig, chain, rig, wallet

__all__ = ["chain", "rig"]

ALICE, MERCHANT = wallet(0xA11CE), wallet(0x3E)
REF = b"\x2a" * 32


def raw_balance(rig: Rig, token: bytes, of: bytes) -> int:
    return int(rig.call("balanceOf", of, contract="TestToken", at=token))


def signed_withdrawal(
    rig: Rig, amount: int, token: bytes, nonce: int = 1, after_sequence: int = 0
) -> bytes:
    """Calldata of a withdrawal that ALICE and the operator signed."""
    plain = SignedWithdrawal(
        ALICE.address, token, MERCHANT.address, amount, nonce, rig.now() + 60, b"", b""
    )
    digest = eip712.withdrawal_digest(rig.domain, plain)
    fields = (plain.account, plain.token, plain.amount, plain.to, plain.nonce, plain.expiry)
    consent = eip712.countersignature_digest(rig.domain, digest, after_sequence)
    signatures = eip712.sign(digest, ALICE.secret), eip712.sign(consent, OPERATOR.secret)
    return encode_call("withdraw", fields, after_sequence, *signatures)


def test_six_decimals_are_credited_a_hundredfold(rig: Rig) -> None:
    receipt = rig.deposit(ALICE, rig.quote, 1_234_567, REF)
    assert rig.balance(ALICE.address, rig.quote) == 123_456_700
    (event,) = rig.events(receipt, "Deposited")
    assert (event["amount"], event["ref"]) == (123_456_700, REF)


def test_eighteen_decimals_must_be_whole_pips(rig: Rig) -> None:
    rig.deposit(ALICE, rig.base, 7 * 10**10)
    assert rig.balance(ALICE.address, rig.base) == 7
    with pytest.raises(Refused, match="NotWholePips"):
        rig.deposit(ALICE, rig.base, 7 * 10**10 + 1)


def test_an_exit_pays_after_its_delay_and_not_before(rig: Rig) -> None:
    rig.deposit(ALICE, rig.quote, 5_000_000)
    rig.send(ALICE, rig.exchange, encode_call("requestExit", rig.quote, 300_000_050))
    finish = encode_call("finishExit", ALICE.address, rig.quote)
    with pytest.raises(Refused, match="ExitNotReady"):
        rig.send(MERCHANT, rig.exchange, finish)

    rig.travel(EXIT_DELAY)
    (event,) = rig.events(rig.send(MERCHANT, rig.exchange, finish), "ExitFinished")

    assert event["amount"] == 300_000_000, "whole raw units only"
    assert raw_balance(rig, rig.quote, ALICE.address) == 3_000_000
    assert rig.balance(ALICE.address, rig.quote) == 200_000_000


def test_owner_and_operator_together_withdraw_at_once(rig: Rig) -> None:
    rig.deposit(ALICE, rig.quote, 5_000_000)
    calldata = signed_withdrawal(rig, 100_000_000, rig.quote)
    rig.send(MERCHANT, rig.exchange, calldata)
    assert raw_balance(rig, rig.quote, MERCHANT.address) == 1_000_000
    with pytest.raises(Refused, match="NonceTooLow"):
        rig.send(MERCHANT, rig.exchange, calldata)


def test_a_withdrawal_waits_for_the_log_it_stands_behind(rig: Rig) -> None:
    rig.deposit(ALICE, rig.quote, 5_000_000)
    with pytest.raises(Refused, match="LogNotSettled"):
        calldata = signed_withdrawal(rig, 100_000_000, rig.quote, after_sequence=1)
        rig.send(MERCHANT, rig.exchange, calldata)


def test_a_withdrawal_of_a_fraction_of_a_raw_unit_is_refused(rig: Rig) -> None:
    rig.deposit(ALICE, rig.quote, 5_000_000)
    with pytest.raises(Refused, match="NotWholeRawUnits"):
        rig.send(MERCHANT, rig.exchange, signed_withdrawal(rig, 100_000_001, rig.quote))


def test_an_invoice_address_pays_into_the_vault_with_its_reference(rig: Rig) -> None:
    factory = rig.deploy("InvoiceDeposits", rig.exchange)
    address = rig.call("addressOf", MERCHANT.address, REF, contract="InvoiceDeposits", at=factory)
    raw = 9 * 10**10 + 5
    invoice = Web3.to_bytes(hexstr=address)
    rig.send(ALICE, rig.base, encode_call("mint", invoice, raw, contract="TestToken"))

    sweep = encode_call("sweep", MERCHANT.address, REF, rig.base, contract="InvoiceDeposits")
    receipt = rig.send(ALICE, factory, sweep)

    assert rig.balance(MERCHANT.address, rig.base) == 9
    (event,) = rig.events(receipt, "Deposited")
    assert (event["account"], event["ref"]) == (
        Web3.to_checksum_address(MERCHANT.address),
        REF,
    )
    (swept,) = rig.events(receipt, "Swept", contract="InvoiceDeposits")
    assert swept["rawAmount"] == 9 * 10**10
    assert raw_balance(rig, rig.base, invoice) == 5, "less than a pip stays"
    with pytest.raises(Refused, match="NothingToSweep"):
        rig.send(ALICE, factory, sweep)

    # A second payment to the same address finds the clone already there.
    rig.send(ALICE, rig.base, encode_call("mint", invoice, 10**10 - 5, contract="TestToken"))
    rig.send(ALICE, factory, sweep)
    assert rig.balance(MERCHANT.address, rig.base) == 10


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(account=st.binary(min_size=20, max_size=20), ref=st.binary(min_size=32, max_size=32))
def test_the_address_is_known_without_the_chain(rig: Rig, account: bytes, ref: bytes) -> None:
    factory = rig.deploy("InvoiceDeposits", rig.exchange)
    shared = rig.call("implementation", contract="InvoiceDeposits", at=factory)
    ours = deposit_address(factory, Web3.to_bytes(hexstr=shared), account, ref)
    theirs = rig.call("addressOf", account, ref, contract="InvoiceDeposits", at=factory)
    assert Web3.to_checksum_address(ours) == theirs


def test_a_deposit_for_nobody_is_refused(rig: Rig) -> None:
    with pytest.raises(Refused, match="ZeroAddress"):
        rig.send(ALICE, rig.exchange, encode_call("deposit", rig.quote, 1, bytes(20), ZERO_REF))
