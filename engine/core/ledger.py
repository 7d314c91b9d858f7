"""How much does an order hold back, and who owns what after a fill?

An order holds the worst it can still cost. For a buy that is a function of its open lots alone,
so it need not be stored: fees are floored, hence the fee of a part plus the fee of the rest is
never more than the fee of the whole, and each fill is paid from what the fill itself releases.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.jit import i64, kernel
from engine.core.layout import State
from engine.types import PPM, Side


@kernel
def fee_of(notional_pips: int, fee_ppm: int) -> int:
    """Return floor(notional * ppm / 10**6), split so that no product passes 2**62."""
    whole = notional_pips // PPM
    return whole * fee_ppm + (notional_pips - whole * PPM) * fee_ppm // PPM


@kernel
def fee_worst_ppm(state: State, market: int) -> int:
    """Return the fee an order must be able to pay, whichever role it ends up in."""
    return max(state.markets[market]["maker_ppm"], state.markets[market]["taker_ppm"])


@kernel
def hold_of(state: State, market: int, side: int, price_ticks: int, lots: int) -> int:
    """Return the pips that ``lots`` open lots hold; the caller has bounded both factors."""
    listing = state.markets[market]
    if side == Side.BUY:
        notional = lots * price_ticks * listing["tick_pips"]
        return notional + fee_of(notional, fee_worst_ppm(state, market))
    return lots * listing["lot_pips"]


@kernel
def token_paid(state: State, market: int, side: int) -> int:
    """Return the token that an order of ``side`` pays with."""
    if side == Side.BUY:
        return state.markets[market]["quote"]
    return state.markets[market]["base"]


@kernel
def hold(state: State, account: int, token: int, pips: int) -> None:
    """Move ``pips`` from available to held."""
    balance = state.balances[account, token]
    balance["available"] -= pips
    balance["held"] += pips
    assert balance["available"] >= 0


@kernel
def release(state: State, account: int, token: int, pips: int) -> None:
    """Move ``pips`` from held to available."""
    balance = state.balances[account, token]
    balance["held"] -= pips
    balance["available"] += pips
    assert balance["held"] >= 0


@kernel
def release_rest(state: State, slot: int) -> None:
    """Give back all that the order in ``slot`` still holds; its lots are still set."""
    order = state.orders[slot]
    market, side = i64(order["market"]), i64(order["side"])
    price = i64(order["price"])
    pips = hold_of(state, market, side, price, order["lots"])
    release(state, order["account"], token_paid(state, market, side), pips)


@kernel
def pay_maker(state: State, slot: int, lots: int, notional: int, fee_pips: int) -> None:
    """Settle ``lots`` of the resting order in ``slot`` at its own price; its lots are still old.

    The taker's half is summed up by the caller: one write per command instead of one per fill.
    """
    order = state.orders[slot]
    market, side = i64(order["market"]), i64(order["side"])
    price = i64(order["price"])
    listing = state.markets[market]
    base = state.balances[order["account"], listing["base"]]
    quote = state.balances[order["account"], listing["quote"]]
    if side == Side.BUY:
        before = hold_of(state, market, side, price, order["lots"])
        after = hold_of(state, market, side, price, order["lots"] - lots)
        quote["held"] -= before - after
        quote["available"] += before - after - notional - fee_pips
        base["available"] += lots * listing["lot_pips"]
        assert quote["held"] >= 0 and before - after >= notional + fee_pips
    else:
        base["held"] -= lots * listing["lot_pips"]
        quote["available"] += notional - fee_pips
        assert base["held"] >= 0
