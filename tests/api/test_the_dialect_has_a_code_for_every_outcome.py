"""Is every refusal told in a code that clients of the dialect know?"""

from engine.types import Outcome
from gateway.api.binance.errors import SAYINGS, Code, of_rejection
from gateway.trading.rejection import Rejection

DOCUMENTED = {
    Outcome.INSUFFICIENT_BALANCE: (-2010, "Account has insufficient balance for requested action."),
    Outcome.POST_ONLY_WOULD_TRADE: (-2010, "Order would immediately match and take."),
    Outcome.MARKET_HALTED: (-2010, "Market is closed."),
    Outcome.DUPLICATE_CLIENT_ID: (-2010, "Duplicate order sent."),
    Outcome.NOT_RESTING: (-2011, "Unknown order sent."),
    Outcome.NOT_OWNER: (-2011, "Unknown order sent."),
    Outcome.NOT_FOUND: (-2013, "Order does not exist."),
    Outcome.UNKNOWN_MARKET: (-1121, "Invalid symbol."),
    Outcome.OFF_TICK: (-1013, "Filter failure: PRICE_FILTER"),
    Outcome.OFF_LOT: (-1013, "Filter failure: LOT_SIZE"),
    Outcome.BELOW_LEAST_NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    Outcome.BAD_SIGNATURE: (-1022, "Signature for this request is not valid."),
    Outcome.NOT_AUTHENTICATED: (-2015, "Invalid API-key, IP, or permissions for action."),
    Outcome.DEADLINE_PASSED: (
        -1021,
        "Timestamp for this request is outside of the recvWindow.",
    ),
    Outcome.RATE_LIMITED: (-1003, "Too many requests; please come back later."),
}


def test_every_outcome_is_in_the_table():
    assert set(SAYINGS) == set(Outcome)
    for saying in SAYINGS.values():
        assert (
            saying.code < 0 and saying.words.endswith((".", "SIDE"))
        ) or "Filter" in saying.words
        assert 400 <= saying.status < 600


def test_those_that_clients_compare_are_as_documented():
    for outcome, (code, words) in DOCUMENTED.items():
        assert (SAYINGS[outcome].code, SAYINGS[outcome].words) == (code, words)


def test_a_cancel_is_refused_with_a_cancels_code():
    frozen = Rejection(Outcome.ACCOUNT_FROZEN)
    assert of_rejection(frozen).saying.code == Code.NEW_ORDER_REJECTED
    assert of_rejection(frozen, Code.CANCEL_REJECTED).saying.code == Code.CANCEL_REJECTED
    spent = Rejection(Outcome.RATE_LIMITED)
    assert of_rejection(spent, Code.CANCEL_REJECTED).saying.code == Code.TOO_MANY_REQUESTS
