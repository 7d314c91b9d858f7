"""What do traders do all day in the simulator?"""

from typing import TYPE_CHECKING, Any, Final

from engine.command_result import CommandResult
from engine.commands import Kind, command
from engine.types import ALL_MARKETS, Phase
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import SignedOrder
from tests.asked import BY_TEST
from tests.sim.ack_oracle import Violated
from tests.sim.people import MIDDLE, Placed, Trader, is_final
from tests.sim.venue import NS, Venue

if TYPE_CHECKING:
    from tests.sim.world import World

USD_RAW: Final = 10**6 * 10**6
TOKEN_RAW: Final = 10**5 * 10**18
ROUND_SUMS: Final = (100, 10**6, 10**8, 10**10)
BACK_NS: Final = 40 * NS
"""After so long who took everything deposits again."""

PHASES: Final = (Phase.OPEN, Phase.OPEN, Phase.POST_ONLY, Phase.CANCEL_ONLY, Phase.HALTED)


class Market:
    """The traders' side of the world."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.middle = MIDDLE
        self.phase = Phase.OPEN
        self._together_ns = 0
        self.unanswered = 0
        """Requests that were sent again after the healing and are on their way."""

    def fund_everybody(self) -> None:
        for trader in self.world.traders:
            self.deposit(trader, trader.usd, USD_RAW)
            self.deposit(trader, trader.token, TOKEN_RAW)
        for _ in range(self.world.options.confirmations + 3):
            self.world.clock.now_ns += 2 * NS
            self.world.chain_turn()

    def deposit(self, trader: Trader, token: bytes, raw: int) -> None:
        exchange = self.world.node.blocks.machine.terms.deployment.exchange
        for to, calldata in trader.deposit_calls(exchange, token, raw):
            self.world.blocks.act(trader.address, to, calldata)

    def begin(self) -> None:
        """Start the traders for one life."""
        loop, venue = self.world.loop, self.world.venue
        assert loop is not None and venue is not None
        if self.world.healing:
            self._ask_again(venue)
            return

        def turn() -> None:
            if self.world.dead or loop is not self.world.loop:
                return
            self.middle = min(max(self.middle + self.world.dice.choice((-1, 0, 1)), 100), 4_000)
            burst = self.world.dice.randrange(1, self.world.options.burst_max + 1)
            self._together_ns = self.world.dice.randrange(self.world.options.delay_ns_max)
            for _ in range(burst):
                self.act(venue)
            loop.call_later(
                self.world.dice.randrange(2 * burst * self.world.options.action_ns) / NS, turn
            )

        turn()

    def act(self, venue: Venue) -> None:
        """One trader does one thing."""
        world, dice = self.world, self.world.dice
        trader = dice.choice(world.traders)
        if world.chance(world.options.operator_ppm):
            world.spawn(self._operate(venue))
        elif world.chance(world.options.leaving_ppm):
            self._move_money(trader)
        elif world.chance(world.options.hasty_ppm):
            world.spawn(self._trade_and_leave(venue, trader))
        kind = dice.random()
        if kind < 0.62:
            garbage = world.chance(world.options.garbage_ppm)
            placed = trader.order(self.middle, world.clock.now_ns // NS, garbage)
            world.spawn(self.send(venue, trader, placed))
        elif kind < 0.72 and trader.sent:
            world.count("resent")
            world.spawn(self.send(venue, trader, dice.choice(trader.sent[-40:])))
        elif kind < 0.994 and trader.sent:
            world.spawn(self._cancel(venue, trader))
        else:
            self._withdraw(venue, trader)

    def _withdraw(self, venue: Venue, trader: Trader) -> None:
        """Take a round sum out: whole raw units of either token."""
        dice = self.world.dice
        token, amount = dice.choice((trader.usd, trader.token)), dice.choice(ROUND_SUMS)
        placed = trader.withdrawal(amount, token, self.world.clock.now_ns // NS)
        self.world.spawn(self.send(venue, trader, placed))

    async def _trade_and_leave(self, venue: Venue, trader: Trader) -> None:
        """Buy and sell, and take out in the same breath all that the ledger says is there: what
        pays for it and what it pays for are both on their way to the chain."""
        world = self.world
        account = venue.parts.catalog.account_number(trader.address)
        if account is None:
            return
        await venue.parts.pipeline.submit(
            command(Kind.CANCEL_ALL, account=account, market=ALL_MARKETS)
        )
        for sells in world.dice.choice(((False, True), (True, False))):
            placed = trader.taker(self.middle, world.clock.now_ns // NS, sells=sells)
            await self.send(venue, trader, placed)
        if world.dead:
            return
        number = world.dice.randrange(2)
        token, raw = ((trader.usd, USD_RAW), (trader.token, TOKEN_RAW))[number]
        available = venue.engine.available(account, number)
        if available < min(ROUND_SUMS):
            return
        world.count("asked for everything")
        everything = available - available % min(ROUND_SUMS)
        placed = trader.withdrawal(everything, token, world.clock.now_ns // NS)
        await self.send(venue, trader, placed)
        await Venue.pause(BACK_NS)
        if not world.dead:
            self.deposit(trader, token, raw)

    def _ask_again(self, venue: Venue) -> None:
        """Send again all that was never answered: now it has to be."""
        self.unanswered = 0
        for trader in self.world.traders:
            for placed in trader.sent:
                if not placed.results:
                    self.unanswered += 1
                    self.world.spawn(self._ask_at_last(venue, trader, placed))

    async def _ask_at_last(self, venue: Venue, trader: Trader, placed: Placed) -> None:
        await self.send(venue, trader, placed)
        if not placed.results and not venue.parts.pipeline.held:
            raise Violated(f"no answer on a quiet network: {placed.signed}")
        self.world.count("refused to the end" if not placed.results else "answered at last")
        self.unanswered -= 1

    async def send(self, venue: Venue, trader: Trader, placed: Placed) -> None:
        """Send a signed request over the network, perhaps twice, and perhaps hear the answer."""
        world = self.world
        placed.tries += 1
        await self._travel()
        if world.chance(world.options.lost_ppm):
            world.count("request lost")
            return
        for _ in range(2 if world.chance(world.options.doubled_ppm) else 1):
            result = await self._ask(venue, placed)
            if world.dead:
                return
            if world.chance(world.options.lost_ppm):
                world.count("answer lost")
                continue
            world.ack_oracle.answered(placed.signed.digest, result)
            world.count(f"answer {result.outcome.name}")
            wrong = trader.learn(placed, result) if is_final(result) else None
            if wrong:
                raise Violated(wrong)

    @staticmethod
    async def _ask(venue: Venue, placed: Placed) -> CommandResult:
        if isinstance(placed.signed, SignedOrder):
            return await venue.parts.exchange.place(placed.signed)
        return await venue.parts.exchange.withdraw(placed.signed)

    async def _travel(self) -> None:
        """Most of a burst comes together, so that it shares a batch."""
        dice, bound_ns = self.world.dice, self.world.options.delay_ns_max
        await Venue.pause(self._together_ns if dice.random() < 0.9 else dice.randrange(bound_ns))

    async def _cancel(self, venue: Venue, trader: Trader) -> None:
        """Cancel something: often what may be filling now, now and then somebody else's."""
        world, dice = self.world, self.world.dice
        owner = trader if dice.random() < 0.95 else dice.choice(world.traders)
        placed = dice.choice((owner.sent or trader.sent)[-30:])
        await self._travel()
        order_id = placed.order_id or dice.choice((0, 1, 2**40, -1))
        if owner is trader and dice.random() < 0.3:
            following = trader.instead_of(placed, self.middle, world.clock.now_ns // NS)
            if following is not None:
                world.count("requoted")
                world.spawn(self.send(venue, trader, following))
        result = await venue.parts.exchange.cancel(trader.address, order_id, BY_TEST)
        if not world.dead:
            world.count(f"cancel {result.outcome.name}")

    async def _operate(self, venue: Venue) -> None:
        """An operator or a dead man's switch: phases, mass cancels."""
        dice = self.world.dice
        if dice.random() < 0.5:
            self.phase = dice.choice(PHASES) if self.phase == Phase.OPEN else Phase.OPEN
            row = command(Kind.SET_PHASE, market=0, amount=int(self.phase))
        else:
            account = dice.randrange(max(1, venue.parts.catalog.account_count))
            row = command(Kind.CANCEL_ALL, account=account, market=ALL_MARKETS)
        await venue.parts.pipeline.submit(row)

    def _move_money(self, trader: Trader) -> None:
        """Deposit more on chain, or ask for the exit."""
        world, dice = self.world, self.world.dice
        exchange = world.blocks.machine.terms.deployment.exchange
        token = dice.choice((trader.usd, trader.token))
        kind = dice.random()
        if kind < 0.6:
            self.deposit(trader, token, dice.choice((10**10, 3 * 10**12)))
        elif kind < 0.9 and not trader.leaving:
            trader.leaving = True
            amount = dice.choice((1, 10**8, 2**60))
            self._call(trader, exchange, "requestExit", token, amount)
        elif trader.leaving:
            self._call(trader, exchange, "cancelExit", token)

    def _call(self, trader: Trader, to: bytes, name: str, *args: Any) -> None:
        self.world.count(f"chain call {name}")
        self.world.blocks.act(trader.address, to, encode_call(name, *args))

    def finish_exits(self) -> None:
        """Let everybody who asked leave."""
        world = self.world
        exchange = world.blocks.machine.terms.deployment.exchange
        for account, token in sorted(world.blocks.tip.after.exits):
            call = encode_call("finishExit", account, token)
            world.blocks.act(world.traders[0].address, exchange, call)
