"""Whoever audits a log reads what the operator asked for, how often, who and why."""

from engine.commands import Kind, command
from engine.reference import Engine
from settlement.audit.audit import Audit
from settlement.audit.onchain import ListedToken, Published
from settlement.audit.operators import SHOWN_MAX, OperatorActions
from settlement.operations import OnChain
from settlement.protocol.evidence import OperatorAction, decode, encode
from tests.admin.fixtures import NEW_TOKEN, Operator, told
from tests.api.fixtures import DOMAIN, LIMITS, TOKEN_ADDRESS, USD_ADDRESS

LISTED = [
    ListedToken(TOKEN_ADDRESS, 10**10),
    ListedToken(USD_ADDRESS, -100),
    ListedToken(NEW_TOKEN, 10**10),
]


def audited(at: Operator, listed: list[ListedToken]) -> Audit:
    audit = Audit(DOMAIN, Published([], {}, {}, {}, listed, [], frozenset(), {}))
    engine = Engine(LIMITS)
    for batch in at.venue.history:
        engine.apply(batch.commands)
        audit.consume(batch)
    return audit


def test_actions_are_counted_by_kind_and_reason():
    async def story(at: Operator) -> None:
        at.venue.listed_on_chain[2] = OnChain(NEW_TOKEN, 10**10, 18)
        await at.done("/tokens", symbol="NEW", address="0x" + NEW_TOKEN.hex(), decimals=18)
        for reason in ("moon", "moon", "tide"):
            await at.done("/markets/TOKEN-USD/phase", phase="HALTED", reason=reason)
        await at.done("/drain", reason="a new version")
        notes = list(audited(at, LISTED).notes())
        assert "an operator asked for these 5 commands, for reasons that are his word:" in notes
        for words in (
            "  2 SET_PHASE by alice: moon",
            "  1 SET_PHASE by alice: tide",
            "  1 CLOCK (drain) by alice: a new version",
            "  1 LIST_TOKEN by alice: a test",
        ):
            assert words in notes, notes

    told(story)


def test_a_token_that_the_contract_does_not_have_so_is_a_fault_whoever_listed_it():
    async def story(at: Operator) -> None:
        at.venue.listed_on_chain[2] = OnChain(NEW_TOKEN, 10**10, 18)
        await at.done("/tokens", symbol="NEW", address="0x" + NEW_TOKEN.hex(), decimals=18)
        wrong = "token 2 is not listed on chain like this"
        for listed in (LISTED[:2], [*LISTED[:2], ListedToken(NEW_TOKEN, 1)]):
            assert any(wrong in fault for fault in audited(at, listed).faults)
        assert not any(wrong in fault for fault in audited(at, LISTED).faults)

    told(story)


def test_an_operator_proves_nothing_that_an_owner_must_sign():
    async def story(at: Operator) -> None:
        by = OperatorAction("alice", "because")
        at.venue.commit(command(Kind.WITHDRAW, account=0, token=0, amount=1), by)
        at.venue.commit(command(Kind.DEPOSIT, account=0, token=0, amount=1), by)
        faults = " ".join(audited(at, LISTED).faults)
        assert "a withdrawal without a signature" in faults
        assert "money without evidence" in faults

    told(story)


def test_many_reasons_are_cut_short_and_no_control_character_is_shown():
    actions = OperatorActions()
    for n in range(SHOWN_MAX + 5):
        actions.follow(Kind.SET_BAND, OperatorAction("eve", f"\x1b[2J{n}"))
    notes = list(actions.notes())
    assert len(notes) == SHOWN_MAX + 2 and notes[-1] == "  and 5 more"
    assert all(note.isprintable() for note in notes)


def test_what_stands_in_the_journal_is_read_back():
    by = OperatorAction("alice", "because", "drain")
    assert decode(encode(by)) == by
