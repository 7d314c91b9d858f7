"""Does the world come to rest once nothing goes wrong any more, and do all books agree then?"""

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from merchants.records.database import transaction
from merchants.records.endpoints import Delivery
from merchants.records.options import Option
from merchants.records.shares import credited_pips
from merchants.records.states import ConversionState, DeliveryState, InvoiceState
from merchants.records.tables import Conversion, Event, Invoice
from merchants.sales.tolerance import least_pips
from settlement.outbox.actions import Action, ActionKind, ActionState
from settlement.repair.reversals import withdrawal_of
from settlement.watching.watcher import Deposited, ExitCancelled, ExitFinished, ExitRequested
from tests.sim.ack_oracle import Violated
from tests.sim.contract import Listed
from tests.sim.disk import Disk
from tests.sim.storage import SimStorage
from tests.sim.venue import NS, Venue, sequencer_on

if TYPE_CHECKING:
    from tests.sim.world import World

MOVING: Final = (
    ActionState.SEALED,
    ActionState.SIGNED,
    ActionState.BROADCAST,
    ActionState.MINED,
)
GIVE_BACK: Final = "withdrawals to be given back"
WITHDRAWAL_WAIT_NS: Final = 25 * 3600 * NS
EXIT_WAIT_NS: Final = 17 * 3600 * NS
PATIENCE_SECONDS: Final = 40 * 3600
"""Simulated. A webhook that failed all day is planned for tomorrow."""
PACE: Final = 60
UNPAID: Final = "InsufficientBalance("
"""Whoever traded had the money in the vault, and nobody can take it out ahead of his trades."""


def come_to_rest(world: "World") -> None:
    """Heal everything, start once more, and demand quiet. Raises ``Violated``."""
    world.calm = True
    world.skew_ns = world.stuck_ns = 0
    world.node.lag = 0
    world.disk.room = 1 << 40
    world.chain_turn()
    world.healing = True
    world.shops.fails_ppm = 0
    if _rest(world, (GIVE_BACK,)) == GIVE_BACK:
        world.clock.now_ns += WITHDRAWAL_WAIT_NS
        _rest(world)
    if world.blocks.tip.after.exits:
        # Only now: what is matched settles long before anybody's exit is due.
        world.clock.now_ns += EXIT_WAIT_NS
        world.market.finish_exits()
        _rest(world)


def _rest(world: "World", tolerated: tuple[str, ...] = ()) -> str:
    """Live until nothing moves; return what still waits, which is nothing or ``tolerated``."""
    world.pace = PACE
    waits = "the first look"

    def is_quiet() -> bool:
        nonlocal waits
        assert world.venue is not None
        world.venue.pace = PACE
        waits = what_waits(world, world.venue)
        if not waits:
            books_agree(world, world.venue)
        return not waits or waits in tolerated

    world.live(lambda: world.reviewed or is_quiet(), PATIENCE_SECONDS)
    if world.reviewed:
        world.live(is_quiet, PATIENCE_SECONDS)
    world.pace = 1
    if waits and waits not in tolerated:
        raise Violated(f"no rest after {PATIENCE_SECONDS} simulated seconds: {waits}")
    return waits


def what_waits(world: "World", venue: Venue) -> str:
    """Return what is still moving; empty at rest."""
    if venue.parts.settler.halted is not None:
        return f"settlement, which is halted: {venue.parts.settler.halted}"
    if world.market.unanswered:
        return f"{world.market.unanswered} requests"
    if venue.parts.outbox.count(*MOVING):
        return "actions in the outbox"
    last = venue.parts.outbox.last_batch()
    if world.ack_oracle.last_trade > (last.last_trade if last else 0):
        return "trades that are not sealed"
    # Not the newest alone: that one may be given back while an older one still waits.
    unsigned = venue.parts.settler.reversals.unsigned()
    if unsigned:
        return f"withdrawals that are not in the outbox, the oldest is {unsigned[0].sequence}"
    if world.blocks.pool:
        return "transactions in the pool"
    poll = venue.parts.watcher.poll()
    if not all(s.confirmed for s in poll.observations):
        return "logs that are not deep enough"
    kinds = (Deposited, ExitRequested, ExitCancelled, ExitFinished)
    values = [observation.value for observation in poll.observations]
    missing = venue.parts.credited_deposits.unbooked([v for v in values if isinstance(v, kinds)])
    if missing:
        return f"a log that is not booked: {missing[0]}"
    if venue.parts.settler.busts_due() or venue.parts.settler.reversals_due():
        return "what the contract refused"
    waits = _what_waits_at_shops(venue)
    if waits:
        return waits
    failed = venue.parts.outbox.in_state(ActionState.FAILED, limit=1_000)
    owed = [action for action in failed if action.kind is ActionKind.WITHDRAWAL]
    return GIVE_BACK if any(_is_unpaid(venue, action) for action in owed) else ""


def _is_unpaid(venue: Venue, action: Action) -> bool:
    """Return whether a withdrawal that failed was neither given back nor paid by a stranger."""
    refused = withdrawal_of(action)
    found = venue.parts.settler.reversals.unpaid(refused.account, refused.token)
    return found is not None and found.sequence == int(action.key)


def _what_waits_at_shops(venue: Venue) -> str:
    with transaction(venue.database) as session:
        for column, states in (
            (Delivery.state, (DeliveryState.PENDING, DeliveryState.RETRYING)),
            (Invoice.state, (InvoiceState.NEW, InvoiceState.PROCESSING)),
            (
                Conversion.state,
                (
                    ConversionState.PENDING,
                    ConversionState.EXECUTING,
                    ConversionState.FILLED,
                    ConversionState.BATCHED,
                ),
            ),
        ):
            query = select(func.count()).where(column.in_(states))
            count = session.scalar(query)
            if count:
                return f"{count} rows of {column.class_.__tablename__}"
    return ""


def books_agree(world: "World", venue: Venue) -> None:
    """Ledger, chain, reference, replay and shops tell one story, to the unit."""
    world.ack_oracle.agree(venue.engine)
    if venue.parts.reconciliation.reasons:
        raise Violated(f"I18: reconciliation says {venue.parts.reconciliation.reasons[0]}")
    for failed in venue.parts.outbox.in_state(ActionState.FAILED, limit=1_000):
        if failed.kind not in (ActionKind.SWEEP, ActionKind.WITHDRAWAL):
            raise Violated(f"{failed.kind} {failed.key} failed: {failed.error}")
    for batch in venue.parts.outbox.in_state(
        ActionState.ABANDONED, kind=ActionKind.BATCH, limit=1_000
    ):
        if (batch.error or "").startswith(UNPAID):
            raise Violated(f"what traders do alone made batch {batch.key} fail: {batch.error}")
    mirror = world.blocks.tip.after.mirror
    for account in range(venue.parts.catalog.account_count):
        address = venue.parts.catalog.address_of(account)
        for number, token in enumerate(world.blocks.machine.terms.tokens):
            ledger = venue.engine.available(account, number) + venue.engine.held(account, number)
            vault = mirror.balances.get((address, token.address), 0)
            if ledger != vault:
                raise Violated(f"I18: account {account} token {number}: {ledger}, on chain {vault}")
    for number, token in enumerate(world.blocks.machine.terms.tokens):
        fees = mirror.fees.get(token.address, 0)
        if venue.engine.fees(number) != fees:
            raise Violated(f"I18: fees of token {number}: {venue.engine.fees(number)}, {fees}")
    _replay_agrees(world, venue)
    _shops_agree(world, venue)


def _replay_agrees(world: "World", venue: Venue) -> None:
    """P3, I13: a fresh engine on the journal alone comes to the same state as with snapshots."""
    nothing = SimStorage(Disk())
    journal = SimStorage(world.disk.copy())
    size = world.options.file_size
    _, sequencer = sequencer_on(world.planted, journal, nothing, size, world.clock)
    for _ in sequencer.recover():
        pass
    if sequencer.machine.state_hash() != venue.engine.state_hash():
        raise Violated("P3: replaying the files gives another state")


def _shops_agree(world: "World", venue: Venue) -> None:
    """I20 to I22: what was received is credited, what was recorded is told, in whatever order."""
    if world.shops.conflicts:
        raise Violated(f"I22: webhooks {world.shops.conflicts} came with two bodies")
    with transaction(venue.database) as session:
        events = session.scalars(select(Event).order_by(Event.id)).all()
        missing = [
            event.webhook_id for event in events if event.webhook_id not in world.shops.received
        ]
        if missing:
            raise Violated(f"I22: {len(missing)} events never arrived")
        for invoice in session.scalars(select(Invoice)):
            _invoice_agrees(world, invoice)


def _invoice_agrees(world: "World", invoice: Invoice) -> None:
    """I20, I21: an invoice's figures are what lies in the vault with its reference."""
    terms = world.blocks.machine.terms
    credited = {token.address: 0 for token in terms.tokens}
    for sealed in world.blocks.sealed:
        for log in sealed.logs:
            if log.address == terms.deployment.exchange and log.topics[-1] == invoice.ref:
                credited[log.topics[2][12:]] += int.from_bytes(log.payload, "big")
    for option in invoice.options:
        (token,) = (token for token in terms.tokens if token.address == option.token)
        _option_agrees(world, invoice, option, token, credited[option.token])
    paid = credited_pips(invoice)
    settled, full = invoice.state is InvoiceState.SETTLED, paid >= invoice.amount_pips
    if settled and paid < least_pips(invoice) and not invoice.late:
        raise Violated(f"I20: {invoice.id} is settled with {paid} pips")
    if full and not settled and not invoice.short_pips and invoice.judge_at_ns is None:
        raise Violated(f"I20: {invoice.id} is {invoice.state} with {paid} pips")
    converted = sum(conversion.lots_filled for conversion in invoice.conversions)
    lots = sum(conversion.lots for conversion in invoice.conversions)
    if converted > lots:
        raise Violated(f"I21: {invoice.id} sold {converted} of {lots} lots")


def _option_agrees(
    world: "World", invoice: Invoice, option: Option, token: Listed, credited: int
) -> None:
    if option.credited_pips != credited:
        raise Violated(f"I21: {invoice.id} credited {option.credited_pips}, on chain {credited}")
    lies = 0
    for sealed in world.blocks.sealed:
        for log in sealed.logs:
            if log.address == token.address and len(log.topics) == 3:
                sender, receiver = (topic[12:] for topic in log.topics[1:])
                moved = int.from_bytes(log.payload, "big")
                lies += moved * (receiver == invoice.deposit_address)
                lies -= moved * (sender == invoice.deposit_address)
    seen = lies // token.unit_scale if token.unit_scale > 0 else lies * -token.unit_scale
    if option.seen_pips != seen:
        raise Violated(f"I20: {invoice.id} counts {option.seen_pips} unswept, on chain are {seen}")
