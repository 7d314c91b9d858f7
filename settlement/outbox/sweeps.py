"""Which deposit addresses are to be swept, and which of them in one transaction?

A place is due from when it is asked for until an action carries it. What is due together goes
together: a transaction costs as much again as what one sweep takes, and there is room for only so
many. One alone goes at once; while it is on its way others gather, not longer than it takes to be
company for each other. A place waits for its own sweep that is on its way: that one takes all that
lies there when it lands.

Many are tried by one call, which says what each takes. What would not be swept is made an action
of its own, and ``settlement.outbox.preflight`` judges that as it always has.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from settlement.chain.chain import CallRevertedError, Chain, ChainUnavailableError
from settlement.outbox.actions import ActionKind, ActionState, Call
from settlement.outbox.outbox import IN_FLIGHT, Outbox
from settlement.outbox.rows import add, are
from settlement.outbox.tables import actions, sweeps
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import SweepPlace

PLACES_MAX: Final = 50
"""Most places that one transaction sweeps: with more the share of each hardly gets smaller."""

COMPANY_NS: Final = 250 * 10**6
"""How long a place waits at most for others while sweeps are on their way."""

SWEEP_GAS: Final = 400_000
"""The limit of one alone; the first sweep of an address deploys a clone there."""

BASE_GAS: Final = 500_000
"""What a transaction of many has beside its places: what the contract keeps back for each that it
begins, and what any transaction costs."""

PLACE_GAS: Final = 2_500
"""What the calldata of a place costs, and the loop around it."""

WORD: Final = 32
BALANCE_GAS: Final = 200_000
"""What a token may use to say how much lies at an address."""

SPARE_PARTS: Final = 4
"""A transaction may use a fourth more than the same call took when it was tried."""

_CONTRACT: Final = "InvoiceDeposits"


class _Due(NamedTuple):
    id: int
    place: SweepPlace
    asked_ns: int


class Sweeps:
    """The places that are due. Any thread may ask; only the settler's worker gathers."""

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        deposits: bytes,
        operator: bytes,
        now_ns: Callable[[], int],
    ) -> None:
        """``deposits`` is the address of InvoiceDeposits, ``operator`` that of the sender."""
        self._chain = chain
        self._outbox = outbox
        self._deposits = deposits
        self._operator = operator
        self._now_ns = now_ns

    def ask(self, places: Sequence[SweepPlace]) -> None:
        """Make ``places`` due, unless a sweep of theirs is not signed yet: it takes this too."""
        asked_ns = self._now_ns()
        with self._outbox.writing() as db:
            taken = {SweepPlace._make(row) for row in db.execute(_unsigned(places))}
            due = [place for place in dict.fromkeys(places) if place not in taken]
            if due:
                rows = [place._asdict() | {"asked_ns": asked_ns} for place in due]
                db.execute(sweeps.insert(), rows)

    def lying(self, address: bytes, tokens: Sequence[bytes]) -> dict[bytes, int]:
        """Return the raw units of each token at an address, of those of which any lie there; a
        token that does not say has none. Raises ``ChainUnavailableError``."""
        block = self._chain.head().number
        calldata = encode_call("balanceOf", address, contract="TestToken")
        found = ((token, self._balance(token, calldata, block)) for token in tokens)
        return {token: raw for token, raw in found if raw}

    def _balance(self, token: bytes, calldata: bytes, block: int) -> int:
        try:
            answer = self._chain.call(token, calldata, block, self._operator, BALANCE_GAS)
        except CallRevertedError:
            return 0
        return int.from_bytes(answer, "big") if len(answer) == WORD else 0

    def gather(self, newest: int, gas_max: int, age_ns: int) -> bool:
        """Seal what goes together now; return whether anything was sealed.

        ``newest`` is the highest block that any node has shown, ``gas_max`` what a transaction may
        use, ``age_ns`` how long a place waits for company while others are on their way. Raises
        ``ChainUnavailableError`` where the node answers nothing else either.
        """
        due = self._due()
        if not due:
            return False
        is_full = len(due) == PLACES_MAX
        is_old = self._now_ns() - due[0].asked_ns >= age_ns
        if not is_full and not is_old and (age_ns > COMPANY_NS or self._is_any_on_its_way()):
            return False
        if len(due) == 1:
            self._seal_alone(due[0])
            return True
        gas_used = self._tried(due, newest, gas_max)
        together: list[_Due] = []
        gas_limit = BASE_GAS
        for one, gas in zip(due, gas_used, strict=True):
            if not gas:
                self._seal_alone(one)
                continue
            gas_limit += gas + gas // SPARE_PARTS + PLACE_GAS
            if gas_limit > gas_max:
                break  # The rest is due still, and goes with the next.
            together.append(one)
        if len(together) == 1:
            self._seal_alone(together[0])
        elif together:
            key = f"{together[0].id}+{len(together) - 1}"
            call = Call(
                ActionKind.SWEEP, key, self._deposits, _many(together), min(gas_limit, gas_max)
            )
            self._seal(together, call)
        return True

    def _due(self) -> list[_Due]:
        """Return the oldest places that no action carries and that no sweep is on its way to."""
        ahead = sweeps.alias()
        out = (
            sa.select(ahead.c.id)
            .join(actions, actions.c.id == ahead.c.action_id)
            .where(are(IN_FLIGHT, ActionKind.SWEEP), *_same(ahead, sweeps))
        )
        query = (
            sa.select(*(sweeps.c[name] for name in ("id", *SweepPlace._fields, "asked_ns")))
            .where(sweeps.c.action_id.is_(None), ~out.exists())
            .order_by(sweeps.c.id)
            .limit(PLACES_MAX)
        )
        with self._outbox.reading() as db:
            return [_Due(row[0], SweepPlace(*row[1:4]), row[4]) for row in db.execute(query)]

    def _is_any_on_its_way(self) -> bool:
        return self._outbox.count(ActionState.SEALED, *IN_FLIGHT, kind=ActionKind.SWEEP) > 0

    def _tried(self, due: list[_Due], newest: int, gas_max: int) -> list[int]:
        """Return what the sweep of each would take now, 0 for what would not be swept."""
        # What is due was seen in a block that the settler may not have looked at yet.
        block = max(newest, self._chain.head().number)
        try:
            answer = self._chain.call(self._deposits, _many(due), block, self._operator, gas_max)
            (gas_used,) = decode(["uint256[]"], answer)
        except (CallRevertedError, DecodingError):
            return [0] * len(due)  # Not together; what is wrong is said of each.
        except ChainUnavailableError:
            if self._chain.head().number < block:
                raise  # It lags, so that it can try nothing.
            return [0] * len(due)
        return list(gas_used) if len(gas_used) == len(due) else [0] * len(due)

    def _seal_alone(self, one: _Due) -> None:
        place = one.place
        calldata = encode_call("sweep", *place, contract=_CONTRACT)
        key = f"{one.id}:" + ":".join(part.hex() for part in place)
        self._seal([one], Call(ActionKind.SWEEP, key, self._deposits, calldata, SWEEP_GAS))

    def _seal(self, due: list[_Due], call: Call) -> None:
        with self._outbox.changing(ActionState.SEALED) as db:
            action_id = add(db, call, self._now_ns())
            carried = sweeps.c.id.in_([one.id for one in due])
            db.execute(sweeps.update().where(carried).values(action_id=action_id))


def _many(due: list[_Due]) -> bytes:
    places = [tuple(one.place) for one in due]
    return encode_call("sweepMany", places, contract=_CONTRACT)


def _same(table: sa.FromClause, other: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == other.c[name] for name in SweepPlace._fields]


def _unsigned(places: Sequence[SweepPlace]) -> sa.Select[tuple[bytes, bytes, bytes]]:
    """Find the places of those invoices whose sweep is due, or whose action has not been signed."""
    waits = sa.or_(sweeps.c.action_id.is_(None), actions.c.state == ActionState.SEALED)
    return (
        sa.select(*(sweeps.c[name] for name in SweepPlace._fields))
        .outerjoin(actions, actions.c.id == sweeps.c.action_id)
        .where(waits, sweeps.c.ref.in_(sorted({place.ref for place in places})))
    )
