"""A cancel or an amendment that nobody asked for is found, whoever writes the log."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.commands import Kind, command
from engine.types import ALL_ACCOUNTS, ALL_MARKETS, Side
from settlement.audit.onchain import Published, read_published
from settlement.chain.dev.devchain import start_devchain
from settlement.protocol.abi import encode_call
from settlement.protocol.checksum import checksum_address
from settlement.protocol.evidence import (
    ChainReason,
    OperatorAction,
    Request,
    SessionLogin,
    SiweLogin,
    encode,
)
from settlement.protocol.siwe import personal_digest, resource_of
from tests.asked import login_of
from tests.chain.conftest import Clock
from tests.chain.test_audit import Log, audited
from tests.chain.venue import ALICE, BOB, LANE, NS, SECRETS, Venue, transact

DAY_S = 86_400


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Venue, Log, Published, int]]:
    """Alice and Bob have an order each; Bob has cancelled his lane on chain as well."""
    directory, clock = tmp_path_factory.mktemp("asked"), Clock()
    with start_devchain(directory / "chain", "eth-tester", clock) as chain:
        venue = Venue(directory, chain, clock)
        venue.fund()
        venue.place(ALICE, Side.BUY, 2_000, 5, nonce=7, lane=LANE)
        venue.place(BOB, Side.SELL, 3_000, 5, nonce=7, lane=LANE)
        venue.place(BOB, Side.SELL, 3_001, 5, nonce=7, lane=LANE + 1)
        wish = encode_call("requestCancel", LANE, False, 7)
        assert transact(chain.chain, BOB, venue.domain.contract, wish).succeeded
        log = [(entry.row, entry.attachment) for each in venue.history() for entry in each.entries]
        published = read_published(chain.chain, venue.deployment)
        assert len(published.lane_cancels) == 1 and not published.faults
        yield venue, log, published, clock() // NS
        venue.close()


def orders_of(venue: Venue, owner: Any) -> list[int]:
    number = venue.account(owner.address)
    return [o.order_id for o in venue.engine.state.orders.values() if o.account == number]


def asked(
    story: tuple[Venue, Log, Published, int], request: Request | None, late_s: int = 0, **row: int
) -> tuple[list[str], list[str]]:
    """Append one command with the product's own writer; return the faults and the notes."""
    venue, log, published, now_s = story
    kind = Kind(row.pop("kind", Kind.CANCEL))
    added = command(kind, time_ns=(now_s + late_s) * NS + 10**9, **row)
    audit = audited(venue, [*log, (added, encode(request))], published)
    return audit.judge(), [*audit.notes()]


def siwe(venue: Venue, now_s: str, **changes: str) -> str:
    fields = {
        "domain": "x.example",
        "address": checksum_address(ALICE.address),
        "chain": str(venue.domain.chain_id),
        "until": "",
        "resource": resource_of(venue.domain),
    } | changes
    return (
        f"{fields['domain']} wants you to sign in with your Ethereum account:\n"
        f"{fields['address']}\n\n\nURI: https://x.example\nVersion: 1\n"
        f"Chain ID: {fields['chain']}\nNonce: abcdefgh1\nIssued At: {now_s}{fields['until']}\n"
        f"Resources:\n- {fields['resource']}"
    )


def test_what_its_owner_asked_for_is_lawful(story: tuple[Venue, Log, Published, int]) -> None:
    venue, _, _, now_s = story
    alice, (order_id,) = venue.account(ALICE.address), orders_of(venue, ALICE)
    login = login_of(venue.domain, SECRETS[ALICE.address], now_s)
    deadline_ns = (now_s + 60) * NS
    for row in (
        {"order_id": order_id},
        {"order_id": order_id, "kind": Kind.AMEND, "amount": 1},
        {"kind": Kind.CANCEL_ALL, "market": ALL_MARKETS},
        {"kind": Kind.CANCEL_AFTER, "expiry_ns": deadline_ns},
        {"order_id": order_id, "late_s": DAY_S - 10},
    ):
        assert asked(story, login, account=alice, **row)[0] == [], row


def test_what_nobody_asked_for_is_named(story: tuple[Venue, Log, Published, int]) -> None:
    """Found: "nobody signs a cancel", so one that was made up passed for honest."""
    venue, _, _, now_s = story
    alice, (order_id,) = venue.account(ALICE.address), orders_of(venue, ALICE)
    login = login_of(venue.domain, SECRETS[ALICE.address], now_s)
    wrong = SessionLogin(ALICE.address, now_s, b"\x01" * 64 + b"\x1b")
    early = login_of(venue.domain, SECRETS[ALICE.address], now_s + DAY_S)
    bobs = login_of(venue.domain, SECRETS[BOB.address], now_s)
    for request, row, words in (
        (None, {}, "nobody asked for this CANCEL"),
        (None, {"kind": Kind.AMEND, "amount": 1}, "nobody asked for this AMEND"),
        (None, {"kind": Kind.CANCEL_ALL, "market": 0}, "nobody asked for this CANCEL_ALL"),
        (None, {"kind": Kind.CANCEL_AFTER}, "nobody asked for this CANCEL_AFTER"),
        (wrong, {}, "no session asked for it: the login is not signed by the account"),
        (bobs, {}, f"0x{BOB.address.hex()} asks for another account's"),
        (login, {"late_s": 2 * DAY_S}, "the session that asks for it was from"),
        (early, {}, "the session that asks for it was from"),
        (ChainReason(bytes(32), 0, 1), {}, "the chain says nothing against order"),
        (ChainReason(bytes(32), 0, 1), {"kind": Kind.CANCEL_ALL}, "the chain cancels single"),
        (login, {"kind": Kind.CANCEL_ALL, "account": ALL_ACCOUNTS}, "of no one account"),
    ):
        faults, _ = asked(story, request, **{"account": alice, "order_id": order_id} | row)
        assert any(words in fault for fault in faults), (words, faults)


def test_found_a_login_of_no_form_ended_the_audit(
    story: tuple[Venue, Log, Published, int],
) -> None:
    """Found: a time below 0 was an OverflowError, and all that came behind it went unread."""
    venue, _, _, now_s = story
    alice, (order_id,) = venue.account(ALICE.address), orders_of(venue, ALICE)
    signature = bytes(64) + b"\x1b"
    for request, words in (
        (SessionLogin(ALICE.address, -1, signature), "the login has no such time"),
        (SessionLogin(ALICE.address[1:], now_s, signature), "the account is no address"),
        (SiweLogin(bytes(40), "", signature), "the account is no address"),
    ):
        faults, _ = asked(story, request, account=alice, order_id=order_id)
        assert any(words in fault for fault in faults), (words, faults)


def test_what_the_chain_says_ends_the_order_that_it_names_and_no_other(
    story: tuple[Venue, Log, Published, int],
) -> None:
    venue, _, published, _ = story
    (on_chain,) = published.lane_cancels
    reason = ChainReason(on_chain.tx_hash, 0, 1)
    bob, (caught, other) = venue.account(BOB.address), orders_of(venue, BOB)
    assert asked(story, reason, account=bob, order_id=caught)[0] == []
    for order_id in (other, *orders_of(venue, ALICE)):
        faults, _ = asked(story, reason, account=bob, order_id=order_id)
        assert any("the chain says nothing against" in fault for fault in faults)
    faults, _ = asked(story, reason, account=bob, order_id=77)
    assert any("an order that never was" in fault for fault in faults)


def test_a_key_that_its_owner_revoked_takes_the_orders_with_it_that_it_had_signed(
    story: tuple[Venue, Log, Published, int],
) -> None:
    venue, log, published, now_s = story
    alice, (order_id,) = venue.account(ALICE.address), orders_of(venue, ALICE)
    reason = ChainReason(b"\x07" * 32, 0, 1)
    for key, is_lawful in ((ALICE.address, True), (BOB.address, False)):
        revoked = published._replace(revocations=frozenset({(reason.tx_hash, ALICE.address, key)}))
        faults, _ = asked((venue, log, revoked, now_s), reason, account=alice, order_id=order_id)
        assert (faults == []) == is_lawful


def test_what_the_operator_does_himself_is_counted_and_named(
    story: tuple[Venue, Log, Published, int],
) -> None:
    venue, _, _, _ = story
    alice, (order_id,) = venue.account(ALICE.address), orders_of(venue, ALICE)
    faults, notes = asked(
        story, OperatorAction("ann", "fat\x1bfinger"), account=alice, order_id=order_id
    )
    assert faults == []
    assert "  1 CANCEL by ann: fat?finger" in notes


def test_a_siwe_session_is_held_against_its_message(
    story: tuple[Venue, Log, Published, int],
) -> None:
    venue, _, _, now_s = story
    alice, (order_id,) = venue.account(ALICE.address), orders_of(venue, ALICE)
    stamp = "2026-01-01T00:00:00Z"
    late_s = 1_767_225_600 - now_s
    for changes, words in (
        ({}, ""),
        ({"chain": "1"}, "for another chain"),
        ({"resource": "urn:other"}, "does not name the resource"),
        ({"until": "\nExpiration Time: 2025-12-31T00:00:00Z"}, "the session that asks for it"),
    ):
        message = siwe(venue, stamp, **changes)
        proof = SiweLogin(ALICE.address, message, ALICE.sign_digest(personal_digest(message)))
        # Against a log of that day: only who wanted it is looked at.
        faults, _ = asked(story, proof, late_s=late_s, account=alice, order_id=order_id)
        about = [fault for fault in faults if "before the one before" not in fault]
        assert [words] == [words for fault in about if words in fault] if words else not about
