"""How much does an order hold back, and who owns what after a fill?

An order holds the worst it can still cost. For a buy that is a function of its open lots alone,
so it need not be stored: fees are floored, hence the fee of a part plus the fee of the rest is
never more than the fee of the whole, and each fill is paid from what the fill itself releases.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.jit import i64, kernel, rare
from engine.core.state import ACCOUNT_BALANCES, BARS_MASK, ICEBERG, ORDERS_SHIFT, State
from engine.types import MONEY_MAX, PPM, Side


@kernel
def head_at(state: State, account: int) -> int:
    """Return where the head cell of ``account`` is (see ``BALANCE``)."""
    return account * state.bounds[ACCOUNT_BALANCES]


@kernel
def balance_at(state: State, account: int, token: int) -> int:
    """Return where the balance of ``account`` in ``token`` is."""
    return head_at(state, account) + 1 + token


@kernel
def is_barred(state: State, account: int) -> bool:
    """Return whether ``account`` can neither order nor withdraw: it is leaving, or it owes."""
    return state.balances[head_at(state, account)]["held"] & BARS_MASK != 0


@rare
def debts_of(state: State, account: int) -> int:
    """Return how many tokens ``account`` owes."""
    count = i64(0)
    for token in range(state.counters[0]["tokens"]):
        if state.balances[balance_at(state, account, token)]["available"] < 0:
            count += 1
    return count


@rare
def exits_of(state: State, account: int) -> int:
    """Return how many exits of ``account`` have not ended."""
    bars = state.balances[head_at(state, account)]["held"] & BARS_MASK
    return bars - debts_of(state, account)


@kernel
def orders_of(state: State, account: int) -> int:
    """Return how many orders of ``account`` rest or are armed."""
    return state.balances[head_at(state, account)]["held"] >> ORDERS_SHIFT


@kernel
def count_order(state: State, account: int, change: int) -> None:
    """One order more rests or is armed, or one fewer."""
    state.balances[head_at(state, account)]["held"] += change << ORDERS_SHIFT


@rare
def owns(state: State, account: int, token: int) -> int:
    """Return what an account has, held or not; 0 if it owes."""
    balance = state.balances[balance_at(state, account, token)]
    return max(balance["available"] + balance["held"], i64(0))


@rare
def has_room(state: State, token: int, coming: int, debt: int) -> bool:
    """Return whether no number wraps when ``coming`` pips arrive and ``debt`` more are owed."""
    owed = state.owed[token]
    if debt > MONEY_MAX - owed:
        return False
    return state.tokens[token]["supply"] + coming <= MONEY_MAX - owed - debt


@rare
def may_owe(state: State, account: int, token: int, pips: int, coming: int) -> bool:
    """Return whether ``pips`` can be taken from an account whether or not it has them."""
    debt = max(pips - owns(state, account, token), i64(0))
    return has_room(state, token, coming, debt)


@rare
def credit(state: State, account: int, token: int, pips: int) -> None:
    """Add to what is available; what is owed is paid first, and the last of it lifts a bar."""
    balance = state.balances[balance_at(state, account, token)]
    before = balance["available"]
    balance["available"] = before + pips
    if before < 0:
        state.owed[token] -= min(pips, -before)
        if before + pips >= 0:
            state.balances[head_at(state, account)]["held"] -= 1


@rare
def charge(state: State, account: int, token: int, pips: int) -> None:
    """Take ``pips`` whether or not they are available; what is missing is owed, and a bar."""
    balance = state.balances[balance_at(state, account, token)]
    before = balance["available"]
    balance["available"] = before - pips
    if before < pips:
        state.owed[token] += min(pips, pips - before)
        if before >= 0:
            state.balances[head_at(state, account)]["held"] += 1


@kernel
def fee_of(notional_pips: int, fee_ppm: int) -> int:
    """Return floor(notional * ppm / 10**6), split so that no product passes 2**62.

    The fee of a negative rate, a rebate, is minus the fee of its size: both are rounded down.
    """
    whole = notional_pips // PPM
    rest = notional_pips - whole * PPM
    if fee_ppm < 0:
        return whole * fee_ppm - rest * -fee_ppm // PPM
    return whole * fee_ppm + rest * fee_ppm // PPM


@kernel
def fee_worst_ppm(state: State, market: int) -> int:
    """Return the fee an order must be able to pay, whichever role it ends up in."""
    return max(i64(state.markets[market]["maker_ppm"]), i64(state.markets[market]["taker_ppm"]))


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
        return i64(state.markets[market]["quote"])
    return i64(state.markets[market]["base"])


@kernel
def lots_open(state: State, slot: int) -> int:
    """Return all open lots of the live order in ``slot``, hidden ones included."""
    order = state.orders[slot]
    if order["kind"] == ICEBERG:
        return order["lots"] + state.order_extras[slot]["hidden"]
    return order["lots"]


@kernel
def hold(state: State, account: int, token: int, pips: int) -> None:
    """Move ``pips`` from available to held."""
    balance = state.balances[balance_at(state, account, token)]
    balance["available"] -= pips
    balance["held"] += pips
    assert balance["available"] >= 0


@kernel
def release(state: State, account: int, token: int, pips: int) -> None:
    """Move ``pips`` from held to available."""
    balance = state.balances[balance_at(state, account, token)]
    balance["held"] -= pips
    balance["available"] += pips
    assert balance["held"] >= 0


@kernel
def release_difference(state: State, slot: int, lots_before: int, lots_after: int) -> None:
    """Give back what the live order in ``slot`` need not hold when it has fewer lots open."""
    order = state.orders[slot]
    ladder, price = i64(order["ladder"]), i64(order["price"])
    market, side = ladder >> 1, ladder & 1
    pips = hold_of(state, market, side, price, lots_before)
    pips -= hold_of(state, market, side, price, lots_after)
    release(state, i64(order["account"]), token_paid(state, market, side), pips)


@kernel
def held_by(state: State, slot: int) -> int:
    """Return the pips that the live order in ``slot`` holds now."""
    order = state.orders[slot]
    ladder = i64(order["ladder"])
    lots = lots_open(state, slot)
    return hold_of(state, ladder >> 1, ladder & 1, i64(order["price"]), lots)


@kernel
def release_all(state: State, slot: int) -> None:
    """Give back all that the live order in ``slot`` still holds; its lots are still set."""
    order = state.orders[slot]
    ladder = i64(order["ladder"])
    token = token_paid(state, ladder >> 1, ladder & 1)
    release(state, i64(order["account"]), token, held_by(state, slot))


@kernel
def pay_resting(
    state: State, slot: int, lots: int, open_before: int, notional: int, fee_pips: int
) -> None:
    """Settle ``lots`` of the resting order in ``slot``, which had ``open_before`` in all.

    ``notional`` is at most its own limit's. The taker's half is summed up by the caller: one write
    per command instead of one per fill.
    """
    order = state.orders[slot]
    ladder, account = i64(order["ladder"]), i64(order["account"])
    market, price = ladder >> 1, i64(order["price"])
    listing = state.markets[market]
    base = state.balances[balance_at(state, account, i64(listing["base"]))]
    quote = state.balances[balance_at(state, account, i64(listing["quote"]))]
    if ladder & 1 == Side.BUY:
        before = hold_of(state, market, i64(Side.BUY), price, open_before)
        after = hold_of(state, market, i64(Side.BUY), price, open_before - lots)
        quote["held"] -= before - after
        quote["available"] += before - after - notional - fee_pips
        base["available"] += lots * listing["lot_pips"]
        assert quote["held"] >= 0 and before - after >= notional + fee_pips
    else:
        base["held"] -= lots * listing["lot_pips"]
        quote["available"] += notional - fee_pips
        assert base["held"] >= 0


@kernel
def hold_for(state: State, slot: int, lots: int) -> None:
    """Hold what ``lots`` of the order in ``slot`` may cost; it is alive from now on."""
    order = state.orders[slot]
    ladder, account = i64(order["ladder"]), i64(order["account"])
    market, side = ladder >> 1, ladder & 1
    pips = hold_of(state, market, side, i64(order["price"]), lots)
    hold(state, account, token_paid(state, market, side), pips)
    counters = state.counters[0]
    counters["orders_live"] += 1
    count_order(state, account, i64(1))
    counters["expiry_soonest_ns"] = min(counters["expiry_soonest_ns"], state.expiry_ns[slot])
