"""Do deposits, exits, withdrawals and invoice addresses keep every unit, at 6 and 18 decimals?"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import Web3

from settlement.protocol import eip712
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import deposit_address
from settlement.protocol.evidence import ZERO_REF, SignedWithdrawal
from tests.chain.contract_rig import EXIT_DELAY, OPERATOR, Refused, Rig, chain, fixtures, wallet

__all__ = ["chain", "fixtures"]

ALICE, MERCHANT = wallet(0xA11CE), wallet(0x3E)
REF = b"\x2a" * 32


def raw_balance(fixtures: Rig, token: bytes, of: bytes) -> int:
    return int(fixtures.call("balanceOf", of, contract="TestToken", at=token))


def signed_withdrawal(
    fixtures: Rig, amount: int, token: bytes, nonce: int = 1, after_sequence: int = 0
) -> bytes:
    """Calldata of a withdrawal that ALICE and the operator signed."""
    plain = SignedWithdrawal(
        ALICE.address, token, MERCHANT.address, amount, nonce, fixtures.now() + 60, b"", b""
    )
    digest = eip712.withdrawal_digest(fixtures.domain, plain)
    fields = (plain.account, plain.token, plain.amount, plain.to, plain.nonce, plain.expiry)
    consent = eip712.countersignature_digest(fixtures.domain, digest, after_sequence)
    signatures = eip712.sign(digest, ALICE.secret), eip712.sign(consent, OPERATOR.secret)
    return encode_call("withdraw", fields, after_sequence, *signatures)


def test_six_decimals_are_credited_a_hundredfold(fixtures: Rig) -> None:
    receipt = fixtures.deposit(ALICE, fixtures.quote, 1_234_567, REF)
    assert fixtures.balance(ALICE.address, fixtures.quote) == 123_456_700
    (event,) = fixtures.events(receipt, "Deposited")
    assert (event["amount"], event["ref"]) == (123_456_700, REF)


def test_eighteen_decimals_must_be_whole_pips(fixtures: Rig) -> None:
    fixtures.deposit(ALICE, fixtures.base, 7 * 10**10)
    assert fixtures.balance(ALICE.address, fixtures.base) == 7
    with pytest.raises(Refused, match="NotWholePips"):
        fixtures.deposit(ALICE, fixtures.base, 7 * 10**10 + 1)


def test_an_exit_pays_after_its_delay_and_not_before(fixtures: Rig) -> None:
    fixtures.deposit(ALICE, fixtures.quote, 5_000_000)
    fixtures.send(ALICE, fixtures.exchange, encode_call("requestExit", fixtures.quote, 300_000_050))
    finish = encode_call("finishExit", ALICE.address, fixtures.quote)
    with pytest.raises(Refused, match="ExitNotReady"):
        fixtures.send(MERCHANT, fixtures.exchange, finish)

    fixtures.travel(EXIT_DELAY)
    (event,) = fixtures.events(fixtures.send(MERCHANT, fixtures.exchange, finish), "ExitFinished")

    assert event["amount"] == 300_000_000, "whole raw units only"
    assert raw_balance(fixtures, fixtures.quote, ALICE.address) == 3_000_000
    assert fixtures.balance(ALICE.address, fixtures.quote) == 200_000_000


def test_owner_and_operator_together_withdraw_at_once(fixtures: Rig) -> None:
    fixtures.deposit(ALICE, fixtures.quote, 5_000_000)
    calldata = signed_withdrawal(fixtures, 100_000_000, fixtures.quote)
    fixtures.send(MERCHANT, fixtures.exchange, calldata)
    assert raw_balance(fixtures, fixtures.quote, MERCHANT.address) == 1_000_000
    with pytest.raises(Refused, match="NonceTooLow"):
        fixtures.send(MERCHANT, fixtures.exchange, calldata)


def test_a_withdrawal_waits_for_the_log_it_stands_behind(fixtures: Rig) -> None:
    fixtures.deposit(ALICE, fixtures.quote, 5_000_000)
    with pytest.raises(Refused, match="LogNotSettled"):
        calldata = signed_withdrawal(fixtures, 100_000_000, fixtures.quote, after_sequence=1)
        fixtures.send(MERCHANT, fixtures.exchange, calldata)


def test_a_withdrawal_of_a_fraction_of_a_raw_unit_is_refused(fixtures: Rig) -> None:
    fixtures.deposit(ALICE, fixtures.quote, 5_000_000)
    with pytest.raises(Refused, match="NotWholeRawUnits"):
        fixtures.send(
            MERCHANT, fixtures.exchange, signed_withdrawal(fixtures, 100_000_001, fixtures.quote)
        )


def test_an_invoice_address_pays_into_the_vault_with_its_reference(fixtures: Rig) -> None:
    factory = fixtures.deploy("InvoiceDeposits", fixtures.exchange)
    address = fixtures.call(
        "addressOf", MERCHANT.address, REF, contract="InvoiceDeposits", at=factory
    )
    raw = 9 * 10**10 + 5
    invoice = Web3.to_bytes(hexstr=address)
    fixtures.send(ALICE, fixtures.base, encode_call("mint", invoice, raw, contract="TestToken"))

    sweep = encode_call("sweep", MERCHANT.address, REF, fixtures.base, contract="InvoiceDeposits")
    receipt = fixtures.send(ALICE, factory, sweep)

    assert fixtures.balance(MERCHANT.address, fixtures.base) == 9
    (event,) = fixtures.events(receipt, "Deposited")
    assert (event["account"], event["ref"]) == (
        Web3.to_checksum_address(MERCHANT.address),
        REF,
    )
    (swept,) = fixtures.events(receipt, "Swept", contract="InvoiceDeposits")
    assert swept["rawAmount"] == 9 * 10**10
    assert raw_balance(fixtures, fixtures.base, invoice) == 5, "less than a pip stays"
    with pytest.raises(Refused, match="NothingToSweep"):
        fixtures.send(ALICE, factory, sweep)

    # A second payment to the same address finds the clone already there.
    fixtures.send(
        ALICE, fixtures.base, encode_call("mint", invoice, 10**10 - 5, contract="TestToken")
    )
    fixtures.send(ALICE, factory, sweep)
    assert fixtures.balance(MERCHANT.address, fixtures.base) == 10


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(account=st.binary(min_size=20, max_size=20), ref=st.binary(min_size=32, max_size=32))
def test_the_address_is_known_without_the_chain(fixtures: Rig, account: bytes, ref: bytes) -> None:
    factory = fixtures.deploy("InvoiceDeposits", fixtures.exchange)
    shared = fixtures.call("implementation", contract="InvoiceDeposits", at=factory)
    ours = deposit_address(factory, Web3.to_bytes(hexstr=shared), account, ref)
    theirs = fixtures.call("addressOf", account, ref, contract="InvoiceDeposits", at=factory)
    assert Web3.to_checksum_address(ours) == theirs


def test_a_deposit_for_nobody_is_refused(fixtures: Rig) -> None:
    with pytest.raises(Refused, match="ZeroAddress"):
        fixtures.send(
            ALICE, fixtures.exchange, encode_call("deposit", fixtures.quote, 1, bytes(20), ZERO_REF)
        )
