"""What is hidden, armed or uncrossed: do the public book, the owner's view and answers follow?"""

import msgspec

from engine.command_result import CommandResult
from engine.commands import Kind, command, set_terms
from engine.types import OrderFlag, Outcome, Phase, Side
from gateway.api.v1.orders import PlaceOrder, checked_order, placed
from gateway.api.v1.schemas import Placed
from settlement.protocol.signers import recovered_order
from tests.api.fixtures import DOMAIN, LOT_PIPS, TAKER_FEE, Venue, Wallet

FOREVER_NS = 2**62
STOP, ICEBERG = int(OrderFlag.STOP), int(OrderFlag.ICEBERG)


def place(
    venue: Venue, who: Wallet, side: str, lots: int, ticks: int, **fields: int
) -> CommandResult:
    """Sequence an order with fields that no signed order can carry yet, and any signed evidence."""
    body = msgspec.convert(who.order(side, lots, ticks), PlaceOrder)
    evidence = recovered_order(DOMAIN, checked_order(body))
    terms = {"fee_cap_ppm": TAKER_FEE, "expiry_ns": FOREVER_NS} | fields
    row = command(
        Kind.PLACE,
        account=venue.open_account(who.address),
        side=Side.BUY if side == "buy" else Side.SELL,
        amount=lots,
        price_ticks=ticks,
        **terms,
    )
    return venue.commit(row, evidence)


def books_agree(venue: Venue) -> None:
    """Assert that everybody sees what the engine would show."""
    market = venue.exchange.catalog.markets[0]
    for side in Side:
        depth = venue.exchange.depth(market, side, 99)
        assert venue.market_data.levels(market, side, 99) == depth


def open_lots(venue: Venue, who: Wallet) -> list[int]:
    return [order.lots_open for order in venue.user_stream.open_orders(who.address)]


def phase(venue: Venue, phase: Phase) -> CommandResult:
    return venue.commit(command(Kind.SET_PHASE, amount=phase))


def test_everybody_sees_a_part_of_an_iceberg_and_its_owner_all_of_it() -> None:
    venue = Venue()
    place(venue, venue.maker, "sell", 12, 2_005, flags=ICEBERG, order_id=5)
    market = venue.exchange.catalog.markets[0]

    assert venue.market_data.levels(market, Side.SELL, 9) == [(2_005, 5)]
    assert open_lots(venue, venue.maker) == [12]

    place(venue, venue.taker, "buy", 6, 2_005)

    assert venue.market_data.levels(market, Side.SELL, 9) == [(2_005, 4)]
    assert open_lots(venue, venue.maker) == [6]
    books_agree(venue)


def test_an_iceberg_that_leaves_takes_away_what_was_in_sight() -> None:
    venue = Venue()
    order_id = place(venue, venue.maker, "sell", 12, 2_005, flags=ICEBERG, order_id=5).order_id

    venue.commit(command(Kind.AMEND, account=0, order_id=order_id, amount=9))
    assert open_lots(venue, venue.maker) == [9]
    books_agree(venue)
    venue.commit(command(Kind.CANCEL, account=0, order_id=order_id))

    assert open_lots(venue, venue.maker) == []
    books_agree(venue)


def test_what_is_hidden_counts_as_resting_in_the_answer() -> None:
    venue = Venue()
    result = place(venue, venue.maker, "sell", 12, 2_005, flags=ICEBERG, order_id=5)

    assert placed_row(venue, result).resting_lots == 12


def placed_row(venue: Venue, result: CommandResult) -> Placed:
    """Return what the client of an order would be told."""
    body = msgspec.convert(venue.maker.order("sell", 1, 2_005), PlaceOrder)
    order = recovered_order(DOMAIN, checked_order(body))
    return placed(order, result, venue.exchange.catalog.markets[0], None)


def test_a_stop_that_waits_is_in_no_book_but_among_its_owners_orders() -> None:
    venue = Venue()
    stop = place(venue, venue.maker, "buy", 3, 2_010, flags=STOP, order_id=2_007)

    assert open_lots(venue, venue.maker) == [3]
    books_agree(venue)
    assert placed_row(venue, stop).resting_lots == 0

    venue.commit(command(Kind.AMEND, account=0, order_id=stop.order_id, amount=2))
    assert open_lots(venue, venue.maker) == [2]
    venue.commit(command(Kind.CANCEL, account=0, order_id=stop.order_id))

    assert open_lots(venue, venue.maker) == []
    books_agree(venue)


def test_the_fills_of_a_stop_are_not_those_of_the_order_that_woke_it() -> None:
    venue = Venue()
    place(venue, venue.maker, "sell", 1, 2_005)
    place(venue, venue.maker, "sell", 4, 2_006)
    other = Wallet(3)
    venue.deposit(other.address, bytes([0x22] * 20), 10**15)
    place(venue, other, "buy", 9, 2_006, flags=STOP, order_id=2_005)

    answer = placed_row(venue, place(venue, venue.taker, "buy", 1, 2_005))

    assert [fill.lots for fill in answer.fills or ()] == [1]
    assert answer.resting_lots == 0
    assert open_lots(venue, other) == [5], "what the stop did not get rests"
    books_agree(venue)


def test_an_order_that_the_stop_it_woke_has_filled_does_not_rest_any_more() -> None:
    venue = Venue()
    place(venue, venue.maker, "sell", 1, 2_005)
    place(venue, venue.maker, "sell", 3, 2_005, flags=STOP, order_id=2_005)

    answer = placed_row(venue, place(venue, venue.taker, "buy", 4, 2_005))

    assert [fill.lots for fill in answer.fills or ()] == [1]
    assert answer.resting_lots == 0
    books_agree(venue)


def test_an_auction_takes_from_both_sides_what_traded_at_one_price() -> None:
    venue = Venue()
    phase(venue, Phase.AUCTION)
    for lots, ticks in ((3, 2_010), (4, 2_008), (2, 2_001)):
        place(venue, venue.maker, "buy", lots, ticks)
    place(venue, venue.taker, "sell", 6, 2_004, flags=ICEBERG, order_id=2)
    place(venue, venue.taker, "sell", 2, 2_009)
    market = venue.exchange.catalog.markets[0]
    books_agree(venue)
    ticker = venue.market_data.ticker(market, venue.clock.ns)
    assert ticker.spread is None, "a crossed book has none"

    phase(venue, Phase.OPEN)

    books_agree(venue)
    trades = venue.market_data.tape(market).newest(9)
    assert sum(trade.lots for trade in trades) == 6
    assert len({trade.price_ticks for trade in trades}) == 1
    assert open_lots(venue, venue.maker) == [1, 2]
    fills = venue.user_stream.fills(venue.maker.address, 9)
    assert {fill.role for fill in fills} == {"maker"}


def test_orders_of_one_account_that_met_in_an_auction_leave_the_views_too() -> None:
    venue = Venue()
    phase(venue, Phase.AUCTION)
    place(venue, venue.maker, "buy", 5, 2_010, flags=ICEBERG, order_id=2)
    place(venue, venue.maker, "sell", 3, 2_005)
    phase(venue, Phase.OPEN)

    assert open_lots(venue, venue.maker) == [2]
    books_agree(venue)


def test_a_dead_mans_switch_in_front_of_an_order_is_not_its_answer() -> None:
    venue = Venue()
    place(venue, venue.maker, "sell", 5, 2_005)
    deadline_ns = venue.clock.ns + 10
    venue.commit(command(Kind.CANCEL_AFTER, account=0, expiry_ns=deadline_ns))
    venue.clock.ns = deadline_ns

    refused = place(venue, venue.taker, "buy", 2, 2_005, expiry_ns=1)
    taken = place(venue, venue.taker, "buy", 2, 2_005)

    assert refused.outcome == Outcome.ORDER_EXPIRED
    assert taken.accepted and placed_row(venue, taken).resting_lots == 2
    assert open_lots(venue, venue.maker) == []
    books_agree(venue)


def test_a_replacement_is_told_by_the_new_orders_id() -> None:
    venue = Venue()
    old = place(venue, venue.maker, "sell", 5, 2_005)
    body = msgspec.convert(venue.maker.order("sell", 4, 2_007), PlaceOrder)
    evidence = recovered_order(DOMAIN, checked_order(body))
    row = command(
        Kind.REPLACE,
        order_id=old.order_id,
        amount=4,
        price_ticks=2_007,
        fee_cap_ppm=TAKER_FEE,
        expiry_ns=FOREVER_NS,
    )

    result = venue.commit(row, evidence)

    assert result.accepted and result.order_id not in (0, old.order_id)
    assert open_lots(venue, venue.maker) == [4]
    books_agree(venue)


def test_a_poisoned_command_was_not_accepted() -> None:
    venue = Venue()

    result = venue.commit(command(Kind.POISON, account=1))

    assert result.outcome == Outcome.POISONED


def test_new_terms_begin_a_new_tape_and_leave_old_fills_as_they_were() -> None:
    venue = Venue()
    place(venue, venue.maker, "sell", 5, 2_005)
    place(venue, venue.taker, "buy", 2, 2_005)
    before = venue.user_stream.fills(venue.maker.address, 9)
    row = set_terms(0, lot_pips=LOT_PIPS * 10, tick_pips=1, maker_fee_ppm=0, taker_fee_ppm=500)

    venue.commit(row)

    market = venue.exchange.catalog.markets[0]
    assert (market.lot_pips, market.tick_pips, market.taker_fee_ppm) == (LOT_PIPS * 10, 1, 500)
    assert venue.exchange.catalog.market("TOKEN-USD") == market
    assert venue.market_data.tape(market).newest(9) == []
    assert venue.user_stream.fills(venue.maker.address, 9) == before
    assert open_lots(venue, venue.maker) == []
    books_agree(venue)
