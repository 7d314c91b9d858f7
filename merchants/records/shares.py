"""How much of an invoice's price does what came pay?

What came in an option counts at the option's own locked rate, which is the price over what is due
in it: half of what is due pays half of the price. Each share is rounded down and what is missing
up, so that no shop is short by rounding; and whatever is missing, paid in full by any one option,
is enough. What was given back before the invoice settled pays nothing.
"""

from collections.abc import Iterable

from engine.types import MONEY_MAX
from merchants.records.options import Option
from merchants.records.tables import Invoice


def came_pips(option: Option) -> int:
    """Return what came in an option's token: what is booked, and what lies at the address."""
    return min(option.seen_pips + option.credited_pips, MONEY_MAX)


def left_pips(option: Option) -> int:
    """Return what came in an option's token and was not given back before it could pay."""
    return max(0, came_pips(option) - option.returned_pips)


def booked_pips(option: Option) -> int:
    """Return what of it the engine has booked."""
    return max(0, option.credited_pips - option.returned_pips)


def worth_pips(invoice: Invoice, option: Option, pips: int) -> int:
    """Return how much of the price ``pips`` of an option's token pay."""
    return pips * invoice.amount_pips // option.due_pips


def received_pips(invoice: Invoice) -> int:
    """Return how much of the price is paid by what came, by whatever road."""
    return _sum(worth_pips(invoice, option, left_pips(option)) for option in invoice.options)


def came_worth_pips(invoice: Invoice) -> int:
    """Return how much of the price all that ever came would have paid, given back or not."""
    return _sum(worth_pips(invoice, option, came_pips(option)) for option in invoice.options)


def credited_pips(invoice: Invoice) -> int:
    """Return how much of the price is paid by what the engine has booked."""
    return _sum(worth_pips(invoice, option, booked_pips(option)) for option in invoice.options)


def timely_pips(invoice: Invoice) -> int:
    """Return how much of the price is paid by what came before the expiry. What was given back
    counts as if it were of that: a quote is no word for money that came later."""
    return _sum(
        worth_pips(invoice, option, max(0, option.timely_pips - option.returned_pips))
        for option in invoice.options
    )


def missing_pips(invoice: Invoice, option: Option) -> int:
    """Return the fewest pips of an option's token that pay what is missing of the price."""
    others = (worth_pips(invoice, one, left_pips(one)) for one in invoice.options)
    came = left_pips(option)
    left = invoice.amount_pips - sum(others) + worth_pips(invoice, option, came)
    return max(0, -(-left * option.due_pips // invoice.amount_pips) - came)


def _sum(worths: Iterable[int]) -> int:
    return min(sum(worths), MONEY_MAX)
