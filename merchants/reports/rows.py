"""Which columns do reports have?

One struct a kind of report: its fields are the columns of the CSV, in this order, and the fields of
the JSON. They are kept: a column is added behind the others, none is renamed. Amounts are decimal
strings in whole tokens, addresses and hashes 0x and lower-case hex, times ISO 8601 to the second.
``time_utc`` and ``time_local`` are the same moment; empty where a row is from before it was kept.
"""

import msgspec


class PaymentRow(msgspec.Struct, frozen=True):
    """One transfer to an invoice's address. Nothing of the invoice's own amounts is here: an
    invoice that was paid in three parts has three rows, and they are to be added up."""

    time_utc: str
    time_local: str
    invoice: str
    order_id: str
    status: str
    token: str
    amount: str
    sender: str
    tx_hash: str
    log_index: int
    block: int


class DisposalRow(msgspec.Struct, frozen=True):
    """A part of one trade that sold tokens of one lot; a lot is what one deposit brought.

    ``proceeds`` is what a buyer paid at that moment for ``amount``: its fair value at disposal.
    ``worth_at_sale`` is what it was worth by the invoice's price, of what several invoices gave by
    that of each; empty where one had none, or the limit came from trades. ``fee`` is the
    exchange's, ``net`` what was left. ``lot_*`` say when and by which transaction the lot came;
    empty where no deposit of this exchange is known for it.
    ``at_middle`` is what the book's middle would have brought when it was sold, ``spread_ppm`` by
    how many millionths ``proceeds`` are less; empty where the book had no two sides.
    ``lot_chosen_utc`` is when the shop named this lot; empty where it has not.
    """

    time_utc: str
    time_local: str
    invoice: str
    order_id: str
    conversion: str
    trade: int
    token: str
    amount: str
    lot_utc: str
    lot_tx_hash: str
    lot_log_index: str
    currency: str
    worth_at_sale: str
    proceeds: str
    fee: str
    net: str
    status: str
    batch: str
    tx_hash: str
    at_middle: str
    spread_ppm: str
    lot_chosen_utc: str


class FeeRow(msgspec.Struct, frozen=True):
    """What one UTC day's sales in one market cost."""

    day_utc: str
    market: str
    trades: int
    currency: str
    proceeds: str
    fee: str


class SettlementRow(msgspec.Struct, frozen=True):
    """What one batch changed on chain in the shop's account, in one market, by its sales: less
    ``sold`` of ``token``, more ``net`` of ``currency``. A batch that nobody gave up is in one row,
    however often its sales are asked for; trades in no batch yet are in none."""

    batch: int
    status: str
    tx_hash: str
    first_trade_utc: str
    market: str
    token: str
    sold: str
    currency: str
    proceeds: str
    fee: str
    net: str
    trades: int


class RefundRow(msgspec.Struct, frozen=True):
    """One refund, paid or not. ``payout`` is the command that took it out of the shop's account,
    the ``sequence`` of a row of the payouts; empty before there is one."""

    time_utc: str
    time_local: str
    refund: str
    invoice: str
    order_id: str
    variant: str
    status: str
    token: str
    amount: str
    currency: str
    worth_at_sale: str
    receiver: str
    payout: str
    tx_hash: str


class PayoutRow(msgspec.Struct, frozen=True):
    """One withdrawal that the wallet signed; ``returned`` came back, for it was not paid."""

    time_utc: str
    time_local: str
    sequence: int
    token: str
    amount: str
    receiver: str
    returned: str
    status: str
    tx_hash: str


class ReconciliationRow(msgspec.Struct, frozen=True):
    """All of one token in the wallet's account, from its first store on.

    ``paid_in`` by invoices, ``deposited`` besides, ``sold``, ``bought`` (what sales brought, less
    ``fees``), ``withdrawn`` less what came back: these make ``expected``. ``ledger`` is what the
    exchange owes the account now, ``besides`` their difference: what the wallet traded by itself,
    or had before. ``difference`` has to be 0: between what trades brought one by one and what is
    counted with conversions and invoices. ``reversed`` of ``paid_in`` has left the chain by a
    reorganisation: the ledger has it, and the vault has not.

    All that stands now. What follows stands at one final ``block``, and behind command
    ``at_sequence`` of the log: ``books_at_block``, ``ledger_at_block`` and ``chain_at_block`` are
    what the shop's rows, the ledger and the vault have there, with what is ``on_the_way`` to the
    chain taken back from the first two. ``chain_difference`` has to be 0: the vault less the
    ledger. ``besides_at_block`` is as ``besides``: the ledger less the books. Empty where the
    account was not compared since the server's start, or something was undone since: then it is
    at the next final block, so ask again.
    """

    token: str
    paid_in: str
    deposited: str
    sold: str
    bought: str
    fees: str
    withdrawn: str
    expected: str
    ledger: str
    besides: str
    difference: str
    reversed: str
    block: str
    block_hash: str
    block_time_utc: str
    at_sequence: str
    books_at_block: str
    ledger_at_block: str
    chain_at_block: str
    on_the_way: str
    besides_at_block: str
    chain_difference: str
