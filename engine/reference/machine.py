"""What does the engine do, command by command, in plain Python?

The same machine as ``engine.core``, written for the reader: objects, dictionaries, big integers.
It shares no code with the kernels, so that a mistake has to be made twice to go unnoticed.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.commands import COMMAND, Commands, Kind
from engine.events import EVENT, EventKind, Events
from engine.reference import check, state_hash
from engine.reference.accounts import Accounts
from engine.reference.auction import Auction
from engine.reference.book import Market
from engine.reference.cancel import Cancels
from engine.reference.fill_or_kill import FillOrKill
from engine.reference.incoming import Incoming
from engine.reference.markets import Markets
from engine.reference.match import Matching
from engine.reference.place import Placement
from engine.reference.state import State
from engine.reference.stops import Stops
from engine.reference.triggers import Triggers
from engine.reference.validate import Row, Validation
from engine.types import Limits, Outcome, Side


class Parts(NamedTuple):
    """What the machine is put together from. Tests put a wrong part in to see it noticed."""

    state: type[State] = State
    market: type[Market] = Market
    validation: type[Validation] = Validation
    cancels: type[Cancels] = Cancels
    matching: type[Matching] = Matching
    fill_or_kill: type[FillOrKill] = FillOrKill
    incoming: type[Incoming] = Incoming
    stops: type[Stops] = Stops
    triggers: type[Triggers] = Triggers
    auction: type[Auction] = Auction
    placement: type[Placement] = Placement
    markets: type[Markets] = Markets
    accounts: type[Accounts] = Accounts


PARTS: Final = Parts()
"""The right ones."""


class Engine:
    """All markets and the whole ledger of one shard; the oracle."""

    def __init__(self, limits: Limits, parts: Parts = PARTS) -> None:
        """Begin empty."""
        state = self.state = parts.state(limits)
        validation = parts.validation(state)
        cancels = self._cancels = parts.cancels(state)
        matching = parts.matching(state, cancels)
        incoming = parts.incoming(state, matching, parts.fill_or_kill(state))
        stops = parts.stops(state)
        triggers = self._triggers = parts.triggers(state, cancels, incoming)
        auction = parts.auction(state, cancels, matching)
        placement = parts.placement(state, validation, cancels, incoming, stops, triggers)
        markets = parts.markets(state, parts.market, cancels, auction, triggers)
        accounts = parts.accounts(state, cancels)
        self._carry_out = {
            Kind.LIST_TOKEN: accounts.list_token,
            Kind.LIST_MARKET: markets.list_market,
            Kind.OPEN_ACCOUNT: accounts.open_account,
            Kind.DEPOSIT: accounts.deposit,
            Kind.WITHDRAW: accounts.withdraw,
            Kind.PLACE: placement.place,
            Kind.CANCEL: cancels.cancel,
            Kind.CLOCK: self._clock,
            Kind.EXIT_BEGIN: accounts.exit_begin,
            Kind.EXIT_END: accounts.exit_end,
            Kind.AMEND: cancels.amend,
            Kind.CANCEL_ALL: cancels.cancel_all,
            Kind.SET_PHASE: markets.set_phase,
            Kind.REPLACE: placement.replace,
            Kind.CANCEL_AFTER: cancels.cancel_after,
            Kind.SET_TERMS: markets.set_terms,
            Kind.DELIST: markets.delist,
            Kind.SET_BAND: markets.set_band,
            Kind.POISON: markets.poison,
            Kind.BUST: accounts.bust,
        }

    def apply(self, commands: Commands) -> Events:
        """Carry out ``commands`` in order and return all their events.

        Sequences must follow the last one applied without a gap (AssertionError otherwise).
        """
        assert commands.dtype == COMMAND and commands.ndim == 1, commands.dtype
        first = self.state.sequence + 1
        wanted = np.arange(first, first + commands.size)
        assert (commands["sequence"] == wanted).all(), f"commands must start at {first}"
        self.state.events = []
        names = commands.dtype.names
        assert names is not None
        for values in commands.tolist():
            self._step(dict(zip(names, values, strict=True)))
        return np.array(self.state.events, dtype=EVENT)

    def _step(self, row: Row) -> None:
        """Carry out one command, or reject it; what time has decided comes first."""
        self.state.begin(row["sequence"], row["time_ns"])
        self._cancels.sweep_silent()
        carry_out = self._carry_out.get(row["kind"])  # type: ignore[call-overload]
        outcome = Outcome.UNKNOWN_COMMAND if carry_out is None else carry_out(row)
        if outcome != Outcome.ACCEPTED:
            self.state.emit(
                EventKind.REJECTED,
                outcome=outcome,
                account=row["account"],
                order_id=row["order_id"],
            )

    def _clock(self, _: Row) -> Outcome:
        """Carry out CLOCK: stops that were left wake, and expired orders go, in slot order."""
        self._triggers.resume_stops()
        self.state.work_left = self.state.limits.work
        self._cancels.sweep_expired()
        return Outcome.ACCEPTED

    # Queries.

    @property
    def sequence(self) -> int:
        """Return the number of the last command."""
        return self.state.sequence

    @property
    def time_ns(self) -> int:
        """Return the latest time seen."""
        return self.state.time_ns

    @property
    def orders_live(self) -> int:
        """Return how many orders rest or are armed, in all markets."""
        return len(self.state.orders)

    def available(self, account: int, token: int) -> int:
        """Return the pips of ``token`` that ``account`` can spend now."""
        self._known(account, token)
        return self.state.ledger.available[account, token]

    def held(self, account: int, token: int) -> int:
        """Return the pips of ``token`` held for resting and armed orders of ``account``."""
        self._known(account, token)
        return self.state.ledger.held[account, token]

    def _known(self, account: int, token: int) -> None:
        assert 0 <= account < len(self.state.exits) and 0 <= token < self.state.ledger.tokens

    def fees(self, token: int) -> int:
        """Return the pips of ``token`` earned as fees."""
        return self.state.ledger.fees[token]

    def supply(self, token: int) -> int:
        """Return the pips of ``token`` deposited and not withdrawn."""
        return self.state.ledger.supply[token]

    def owed(self, token: int) -> int:
        """Return the pips of ``token`` that accounts with a negative balance owe."""
        return self.state.ledger.owed(token)

    def best(self, market: int, side: Side) -> int | None:
        """Return the best price in ticks on ``side``, or None when it is empty."""
        return self.state.markets[market].best(side)

    def depth(self, market: int, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price_ticks, visible lots) of at most ``levels`` prices of ``side``."""
        ladder = self.state.markets[market].sides[side]
        prices = list(self.state.markets[market].prices(side))[:levels]
        return [(price, sum(order.lots for order in ladder[price].values())) for price in prices]

    def state_hash(self) -> bytes:
        """Return 32 bytes that are equal in two engines exactly when their states are."""
        return state_hash.state_hash(self.state)

    def check(self) -> None:
        """Assert the invariants over the whole state; slow."""
        check.check(self.state)
