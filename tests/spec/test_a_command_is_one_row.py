"""A command is packed at once: the row is what it would be column by column, or it is an error."""

import numpy as np
import pytest

from engine.commands import (
    COMMAND,
    BustTerms,
    Kind,
    MarketTerms,
    bust,
    bust_terms,
    command,
    exit_end,
    list_market,
    market_terms,
    market_tokens,
    set_terms,
    unpaid_pips,
)

COLUMNS = [name for name in COMMAND.names if name != "kind"]


@pytest.mark.parametrize("name", COLUMNS)
def test_each_column_takes_what_fits_and_nothing_else(name):
    bounds = np.iinfo(COMMAND[name])
    for value in (int(bounds.min), 0, 1, int(bounds.max), np.int64(7)):
        row = np.zeros(1, COMMAND)
        row["kind"], row[name] = Kind.PLACE, value
        assert command(Kind.PLACE, **{name: value}).tobytes() == row.tobytes()
    for value in (int(bounds.min) - 1, int(bounds.max) + 1, 2**70, -(2**70), 1.5):
        with pytest.raises(OverflowError):
            command(Kind.PLACE, **{name: value})
    for value, error in ((None, TypeError), (2.0, TypeError), ("x", ValueError)):
        with pytest.raises(error):
            command(Kind.PLACE, **{name: value})


def test_the_sequencer_may_stamp_a_row_and_two_rows_share_nothing():
    first, second = command(Kind.CLOCK), command(Kind.CLOCK)
    first["sequence"] = 9
    assert int(second["sequence"]) == 0


def test_what_is_written_is_read_back():
    terms = MarketTerms(10**6, 10**4, -100, 500, 7)
    for row in (list_market(3, 1, 2, **terms._asdict()), set_terms(3, **terms._asdict())):
        assert market_terms(row) == terms
    assert market_tokens(list_market(3, 1, 2, **terms._asdict())) == (1, 2)
    trade = BustTerms(3, buyer=5, seller=2**32 - 2, base_pips=10, quote_pips=99, buyer_fee_pips=2,
                      seller_fee_pips=-1)  # fmt: skip
    assert bust_terms(bust(trade)) == trade
    assert unpaid_pips(exit_end(1, 2, 50, unpaid_pips=20)) == 20
