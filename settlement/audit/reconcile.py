"""Does the vault hold what the ledger says, to the unit?

At the last final block, everything that came in or went out up to there is in the ledger. What the
ledger knows beyond it is on its way: trades that no batch up to there carries, withdrawals that are
not paid there. With those taken back, and what could not be booked yet put beside it, each account,
the fees and the whole vault must agree.
The ledger is cut on the thread that owns it, the chain is asked on the worker's.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from engine.log_entries import Committed
from settlement.audit.standings import Held, Standing, Standings
from settlement.batches.encode import FIRST_BATCH, MatchedTrade, signed_fee_pips
from settlement.batches.trade_queue import TradeQueue
from settlement.chain.chain import CallRevertedError, Chain, ChainUnavailableError
from settlement.chain.deploy import Deployment
from settlement.orders.catalog import Catalog, Token
from settlement.outbox.actions import ActionKind
from settlement.outbox.outbox import Outbox
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import keccak256
from settlement.repair.reversals import WithdrawalReversals, withdrawal_of

ACCOUNTS_A_ROUND: Final = 8
UNKNOWN_TOKEN: Final = keccak256(b"UnknownToken(address)")[:4]
SWEPT_TOPIC: Final = keccak256(b"FeesSwept(address,address,uint64)")

Holding = tuple[bytes, bytes]
"""(account, token)."""


class Ledger(Protocol):
    """What is read of the engine."""

    def available(self, account: int, token: int) -> int:
        """Return free pips."""

    def held(self, account: int, token: int) -> int:
        """Return reserved pips."""

    def fees(self, token: int) -> int:
        """Return pips earned."""

    def supply(self, token: int) -> int:
        """Return pips deposited and not withdrawn."""

    def owed(self, token: int) -> int:
        """Return pips that accounts owe."""


class Cut(NamedTuple):
    """The ledger at one moment: some accounts, all tokens, and what is on its way."""

    tokens: list[Token]
    balances: dict[Holding, int]
    fees: dict[bytes, int]
    supply: dict[bytes, int]
    trades: list[MatchedTrade]
    """All those that the batches after ``forgotten`` carry or will carry."""
    forgotten: int
    """The last batch whose trades are not known any more."""
    queued: Counter[Holding]
    """Withdrawals that settlement has not decided about yet."""
    debts: dict[str, int]
    """What accounts owe, by token symbol, where it is anything."""
    unbooked: Counter[Holding]
    """What came in on chain, less what left, and is not in the ledger."""
    sequence: int
    """The command behind which this is."""


class Difference(NamedTuple):
    """Where vault and ledger part; pips."""

    token: bytes
    symbol: str
    what: str
    expected: int
    found: int
    block: int

    def __str__(self) -> str:
        return (
            f"{self.what} of {self.symbol} at block {self.block}: the vault has {self.found} pips, "
            f"the ledger expects {self.expected}"
        )


class Reconciler:
    """A consumer that knows who was touched lately, so that they are looked at first."""

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        queue: TradeQueue,
        reversals: WithdrawalReversals,
        catalog: Catalog,
        deployment: Deployment,
        ledger: Callable[[], Ledger],
        unbooked: Callable[[], Counter[Holding]],
        standings: Standings,
    ) -> None:
        self._chain = chain
        self._outbox = outbox
        self._queue = queue
        self._reversals = reversals
        self._catalog = catalog
        self._deployment = deployment
        self._ledger = ledger
        self._unbooked = unbooked
        self._standings = standings
        self._touched: dict[int, None] = {}
        self._next = 0
        self._swept: Counter[bytes] = Counter()
        self._swept_to = deployment.deploy_block - 1
        self._suspected: set[bytes] = set()
        self._differing: list[bytes] = []
        """Accounts that differed at the last comparison: looked at until they do not."""
        self.standing: dict[bytes, Difference] = {}
        """The first difference of each token at the last comparison, seen twice or not."""
        self.block = 0
        """The last block at which vault and ledger were compared."""
        self.debts: dict[str, int] = {}
        """Pips that accounts owe, by token: a loss until they pay, and nobody else's affair."""
        self.surplus: dict[str, int] = {}
        """Pips in custody that nobody owns, by token: plain transfers to the custodian."""

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        for name in ("account", "maker_account"):
            self._touched.update(dict.fromkeys(batch.events[name].tolist()))

    def cut(self) -> Cut:
        """Return the ledger as it is now, for some accounts. On the thread that owns the engine,
        when everything confirmed is booked."""
        ledger, tokens = self._ledger(), list(self._catalog.tokens)
        trades, pending = self._queue.kept()
        balances = {
            (self._catalog.address_of(number), token.address): ledger.available(
                number, token.number
            )
            + ledger.held(number, token.number)
            for number in self._chosen()
            for token in tokens
        }
        queued: Counter[Holding] = Counter()
        for item in pending:
            withdrawal = item.withdrawal
            if not self._reversals.is_void(item.sequence):
                queued[withdrawal.account, withdrawal.token] += withdrawal.amount
        return Cut(
            tokens,
            balances,
            {token.address: ledger.fees(token.number) for token in tokens},
            {token.address: ledger.supply(token.number) for token in tokens},
            trades,
            self._queue.forgotten,
            queued,
            {t.symbol: ledger.owed(t.number) for t in tokens if ledger.owed(t.number)},
            self._unbooked(),
            self._queue.last_sequence,
        )

    def compare(self, cut: Cut, block: int) -> list[Difference]:
        """Return where the vault at final ``block`` differs from ``cut`` for the second time.

        Raises ``ChainUnavailableError``, also where the vault is further behind than the trades
        reach that ``cut`` has: that is no difference.
        """
        applied = self._applied(block)
        if applied < cut.forgotten:
            behind = f"at block {block} the exchange is at batch {applied}, before {cut.forgotten}"
            raise ChainUnavailableError(f"{behind}, which was there for good")
        self._follow_sweeps(block)
        owed = self._owed(cut, block)
        changes, fees_open = self._on_the_way(cut, applied)
        self._differing = []
        accounts = self._held(cut, owed, changes, block)
        self._note(cut, accounts, block)
        found = list(self._account_differences(cut, accounts, block))
        for token in cut.tokens:
            address = token.address
            expected = cut.fees[address] - fees_open[address] - self._swept[address]
            found += self._difference(token, "fees", expected, self._fees(address, block), block)
            owned = cut.supply[address] - self._swept[address]
            owned += sum(pips for (_, t), pips in owed.items() if t == address)
            owned += sum(pips for (_, t), pips in cut.unbooked.items() if t == address)
            held = self._custody(token, block)
            self.surplus[token.symbol] = max(held - owned, 0)
            found += self._difference(token, "custody", owned, min(held, owned), block)
        self.block, self.debts = block, cut.debts
        self.standing = {difference.token: difference for difference in reversed(found)}
        # Once is not enough to stop a market: a node may have answered from two states.
        before, self._suspected = self._suspected, {difference.token for difference in found}
        return [difference for difference in found if difference.token in before]

    def _chosen(self) -> list[int]:
        count = self._catalog.account_count
        chosen = [number for number in self._touched if number < count][:ACCOUNTS_A_ROUND]
        for number in chosen:
            del self._touched[number]
        differing = [self._catalog.account_number(account) for account in self._differing]
        wanted = map(self._catalog.account_number, self._standings.wanted(ACCOUNTS_A_ROUND))
        chosen += [number for number in (*differing, *wanted) if number is not None]
        turn = range(self._next, self._next + min(count, ACCOUNTS_A_ROUND))
        self._next = (self._next + ACCOUNTS_A_ROUND) % max(count, 1)
        return list(dict.fromkeys([*chosen, *(number % count for number in turn)]))

    def _held(
        self, cut: Cut, owed: Counter[Holding], changes: Counter[Holding], block: int
    ) -> dict[Holding, Held]:
        found: dict[Holding, Held] = {}
        for holding, pips in cut.balances.items():
            account, token = holding
            on_the_way = changes[holding] - owed[holding] - cut.unbooked[holding]
            chain = self._vault(encode_call("balanceOf", account, token), token, block)
            # What it owes beyond all that is on its way is said as a debt: no vault can owe.
            found[holding] = Held(max(pips - on_the_way, 0), chain, on_the_way)
        return found

    def _note(self, cut: Cut, held: dict[Holding, Held], block: int) -> None:
        """Keep what was found of each account, with the block that it was found at."""
        at = self._chain.block(block)
        if at is None:
            raise ChainUnavailableError(f"block {block} was there for good")
        if cut.trades:
            trade_id = cut.trades[-1].trade_id
        else:
            newest = self._outbox.batch(cut.forgotten)
            trade_id = 0 if newest is None else newest.batch.last_trade
        by_account: dict[bytes, dict[bytes, Held]] = {}
        for (account, token), found in held.items():
            by_account.setdefault(account, {})[token] = found
        self._standings.note(
            {
                account: Standing(block, at.hash, at.timestamp, cut.sequence, trade_id, tokens)
                for account, tokens in by_account.items()
            }
        )

    def _account_differences(
        self, cut: Cut, held: dict[Holding, Held], block: int
    ) -> Iterable[Difference]:
        symbols = {token.address: token for token in cut.tokens}
        for (account, token), found in held.items():
            what = f"account 0x{account.hex()}"
            differences = self._difference(symbols[token], what, found.ledger, found.chain, block)
            if differences:
                self._differing.append(account)
            yield from differences

    @staticmethod
    def _difference(
        token: Token, what: str, expected: int, found: int, block: int
    ) -> list[Difference]:
        if expected == found:
            return []
        return [Difference(token.address, token.symbol, what, expected, found, block)]

    def _applied(self, block: int) -> int:
        """Return the last batch that the exchange had taken at ``block``; 0 before the first."""
        call = encode_call("nextBatch")
        following = _number(self._chain.call(self._deployment.exchange, call, block))
        return max(following - FIRST_BATCH, 0)  # Nothing is answered where it was not deployed yet.

    def _on_the_way(self, cut: Cut, applied: int) -> tuple[Counter[Holding], Counter[bytes]]:
        """Return what trades after batch ``applied`` have changed: balances, and fees by token."""
        last = self._outbox.batch(applied)
        settled = last.batch.last_trade if last is not None else 0
        changes: Counter[Holding] = Counter()
        fees: Counter[bytes] = Counter()
        for trade in cut.trades:
            if trade.trade_id <= settled:
                continue
            buy, sell, base, quote = trade.buy, trade.sell, trade.base_pips, trade.quote_pips
            buy_fee = signed_fee_pips(quote, trade.buy_fee_ppm)
            sell_fee = signed_fee_pips(quote, trade.sell_fee_ppm)
            changes[buy.account, buy.base] += base
            changes[buy.account, buy.quote] -= quote + buy_fee
            changes[sell.account, sell.base] -= base
            changes[sell.account, sell.quote] += quote - sell_fee
            fees[buy.quote] += buy_fee + sell_fee
        return changes, fees

    def _owed(self, cut: Cut, block: int) -> Counter[Holding]:
        """Return what the ledger has debited and the vault at ``block`` still has."""
        owed = Counter(cut.queued)
        for found in self._reversals.shortened():
            owed[found.account, found.token] -= found.taken
        for action in self._outbox.beyond(ActionKind.WITHDRAWAL, block):
            if self._reversals.is_void(int(action.key)):
                continue
            # Sent, but not followed to its block yet; or refused because somebody else sent it.
            if self._reversals.is_paid(action, block):
                continue
            withdrawal = withdrawal_of(action)
            owed[withdrawal.account, withdrawal.token] += withdrawal.amount
        return owed

    def _follow_sweeps(self, block: int) -> None:
        if block <= self._swept_to:
            return
        exchange = self._deployment.exchange
        for log in self._chain.logs([exchange], [SWEPT_TOPIC], self._swept_to + 1, block):
            self._swept[log.topics[1][12:]] += _number(log.payload[:32])
        self._swept_to = block

    def _fees(self, token: bytes, block: int) -> int:
        return self._vault(encode_call("feesOf", token), token, block)

    def _vault(self, call: bytes, token: bytes, block: int) -> int:
        """Ask the exchange for pips of ``token``. A token is never taken off its list, so of one
        that is not on it at ``block`` nobody has anything there: the first final blocks of a new
        exchange are from before its tokens were listed."""
        try:
            return _number(self._chain.call(self._deployment.exchange, call, block))
        except CallRevertedError as refused:
            if refused.output == UNKNOWN_TOKEN + bytes(12) + token:
                return 0
            raise

    def _custody(self, token: Token, block: int) -> int:
        call = encode_call("balanceOf", self._deployment.custodian, contract="TestToken")
        return token.pips_of(_number(self._chain.call(token.address, call, block)))


def _number(answer: bytes) -> int:
    return int.from_bytes(answer, "big")
