"""How much of an invoice's price does what came pay?

What came in an option counts at the option's own locked rate, which is the price over what is due
in it: half of what is due pays half of the price. What came in another token counts by what it sold
for when it was seen final (``merchants.records.others``). Each share is rounded down and what is
missing up, so that no shop is short by rounding; and whatever is missing, paid in full by any one
option, is enough. What was given back before the invoice settled pays nothing.
"""

from collections.abc import Iterable

from engine.types import MONEY_MAX
from merchants.records.options import Option, Way
from merchants.records.others import Other, others_of
from merchants.records.tables import Invoice


def came_pips(option: Option) -> int:
    """Return what came in an option's token: what is booked, and what lies at the address."""
    return min(option.seen_pips + option.credited_pips, MONEY_MAX)


def left_pips(option: Option) -> int:
    """Return what came in an option's token and was not given back before it could pay."""
    return max(0, came_pips(option) - option.returned_pips)


def booked_pips(way: Way) -> int:
    """Return what of it the engine has booked and counts."""
    booked = max(0, way.credited_pips - way.returned_pips)
    return min(booked, way.valued_pips) if isinstance(way, Other) else booked


def counted_pips(other: Other) -> int:
    """Return what came of another token, was not given back, and has a value."""
    return min(other.valued_pips, other.left_pips)


def worth_pips(invoice: Invoice, way: Way, pips: int) -> int:
    """Return how much of the price ``pips`` of a token pay."""
    if isinstance(way, Other):
        return way.worth_of(pips)
    return pips * invoice.amount_pips // way.due_pips


def ways_of(invoice: Invoice) -> list[Way]:
    """Return all tokens in which what came counts."""
    return [*invoice.options, *(other for other in others_of(invoice) if other.valued_pips)]


def received_pips(invoice: Invoice) -> int:
    """Return how much of the price is paid by what came, by whatever road."""
    offered = [worth_pips(invoice, option, left_pips(option)) for option in invoice.options]
    return _sum((*offered, *_others_worth(invoice)))


def came_worth_pips(invoice: Invoice) -> int:
    """Return how much of the price all that ever came would have paid, given back or not."""
    offered = [worth_pips(invoice, option, came_pips(option)) for option in invoice.options]
    others = (one.worth_of(counted_pips(one)) + one.given_worth_pips for one in others_of(invoice))
    return _sum((*offered, *others))


def credited_pips(invoice: Invoice) -> int:
    """Return how much of the price is paid by what the engine has booked."""
    return _sum(worth_pips(invoice, way, booked_pips(way)) for way in ways_of(invoice))


def timely_pips(invoice: Invoice) -> int:
    """Return how much of the price is paid by what came before the expiry. What was given back
    counts as if it were of that: a quote is no word for money that came later."""
    offered = [
        worth_pips(invoice, option, max(0, option.timely_pips - option.returned_pips))
        for option in invoice.options
    ]
    return _sum((*offered, *(one.timely_worth_pips for one in others_of(invoice))))


def missing_pips(invoice: Invoice, option: Option) -> int:
    """Return the fewest pips of an option's token that pay what is missing of the price."""
    others = [worth_pips(invoice, one, left_pips(one)) for one in invoice.options]
    came = left_pips(option)
    paid = sum(others) + sum(_others_worth(invoice)) - worth_pips(invoice, option, came)
    left = invoice.amount_pips - paid
    return max(0, -(-left * option.due_pips // invoice.amount_pips) - came)


def _others_worth(invoice: Invoice) -> list[int]:
    return [other.worth_of(counted_pips(other)) for other in others_of(invoice)]


def _sum(worths: Iterable[int]) -> int:
    return min(sum(worths), MONEY_MAX)
