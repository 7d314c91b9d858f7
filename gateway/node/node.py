"""How do all the parts become one running exchange?

``Stack.open`` builds every object and hands each what it needs; nothing else in the house
constructs across layers. Opening order is recovery order: chain, contracts, key register, journal,
then the loops and the door. Whatever moment the last process died at, ``open`` goes on from there.
"""

import asyncio
import gc
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, NamedTuple, Self

import structlog
from fastapi import APIRouter

from engine.core import Engine
from engine.journal import DirectoryReader, DirectoryStorage, Journal, SnapshotFiles
from engine.journal.reader import about_last_sequence
from engine.log_entries import CheckpointedConsumer
from engine.sequencer.pipeline import Pipeline
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.snapshotter import Snapshotter
from engine.sequencer.timekeeper import NS, Timekeeper
from engine.types import PIPS_PER_TOKEN, Limits
from gateway.api.services import SOCKETS_PER_CLIENT, Services
from gateway.api.v1.stream.outbox import OutboxBounds
from gateway.http.clients import Clients, Network
from gateway.http.doorkeeper import DoorBounds, Doorkeeper
from gateway.http.metrics import Metrics
from gateway.http.server import HttpServer
from gateway.node.app import create_app
from gateway.node.logs import brief, redacted
from gateway.node.monitor import Keeper
from gateway.node.secrets import acknowledging_signer, kept_secret, private_directory
from gateway.node.subscriptions import subscriptions
from gateway.trading.budgets import Budgets, RateLimits
from gateway.trading.sessions import SessionIssuer
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.settlement import SettlementDesk
from gateway.views.user_orders import UserStream
from merchants.sales.reference_prices import PriceTerms
from merchants.service import Merchants, open_merchants_database
from merchants.stores.keyring import FileKeyring
from merchants.webhooks.egress import HttpEgress
from settlement.audit.reconcile import Reconciler
from settlement.batches.acknowledgements import Acknowledger
from settlement.batches.sealer import Sealing
from settlement.chain.chain import Chain, ChainUnavailableError
from settlement.chain.deploy import (
    BondPlan,
    Delays,
    Deployment,
    TokenPlan,
    check_acknowledger,
    check_operator,
    connect,
    deploy,
)
from settlement.chain.dev.devchain import DevChain, dev_secret, start_devchain
from settlement.chain.quorum import nodes_at
from settlement.chain.signer import SecretSigner, Signer
from settlement.exchange import Exchange
from settlement.halts import Reconciliation
from settlement.orders.admission import Admission
from settlement.orders.catalog import Catalog
from settlement.orders.session_keys import KeyBook
from settlement.orders.withdrawals import Withdrawals
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import Policy
from settlement.protocol.evidence import TokenListing
from settlement.settler import open_settler
from settlement.watching.deposits import DepositBook
from settlement.watching.unbooked import Unbooked
from settlement.watching.watcher import Watcher
from settlement.worker import ChainLoop

VERSION: Final = "0.1.0"
EXIT_DISK_FAILED: Final = 70
TICK_SECONDS: Final = 0.25
EMBEDDED_CHAIN_SECONDS: Final = 0.1
REMOTE_CHAIN_SECONDS: Final = 1.0
"""While nothing happens a turn asks for the newest block twice; nodes of others count that."""

FIGURES_SECONDS: Final = 2.0
MERCHANT_SECONDS: Final = 0.2
KEEPER_SECONDS: Final = 0.5
BOND_RAW: Final = 100_000 * 10**6
"""What a sandbox stakes, of its first token."""

CLOSING_STEPS_MAX: Final = 100
UNBOOKED_SHOWN_MAX: Final = 8

ChainName = Literal["auto", "anvil", "eth-tester"]


class Remote(NamedTuple):
    """A chain that others run: its nodes, of which a majority must agree, and the record of where
    the contracts are."""

    urls: tuple[str, ...]
    deployment: Path


class MarketPlan(NamedTuple):
    """A market to list on first start; sizes in pips as in ``settlement.orders.catalog.Market``."""

    symbol: str
    base: str
    quote: str
    lot_pips: int
    tick_pips: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    least_notional_pips: int = 0


class Settings(NamedTuple):
    """What an operator decides; everything else follows."""

    directory: Path
    host: str
    port: int
    chain: ChainName | Remote
    operator: Signer
    deployer: Signer | None
    """Deploys on an embedded chain; a remote one has the contracts already."""

    tokens: tuple[TokenPlan, ...]
    markets: tuple[MarketPlan, ...]
    delays: Delays = Delays()
    limits: Limits = Limits()
    budgets: Budgets = Budgets()
    confirmations: int = 2
    batch_age_ns: int = 250_000_000
    prices: PriceTerms = PriceTerms()
    least_withdrawal_pips: Mapping[str, int] = MappingProxyType({})
    """By token symbol; goes before what ``tokens`` say."""
    sandbox: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    door: DoorBounds = DoorBounds()
    sockets_per_client: int = SOCKETS_PER_CLIENT
    listening: socket.socket | None = None
    """Bound to ``host`` and ``port`` before any of this was begun; None: bind when all is ready."""


def _awake_or_not_ns() -> int:
    """Return nanoseconds that nobody sets; where there is such a clock, those asleep too."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _quietly(_sequence: int, _last: int) -> None:
    """Tell nobody how far recovery is."""


class Stack:
    """A running exchange; an async context."""

    def __init__(
        self,
        settings: Settings,
        now_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = _awake_or_not_ns,
        recovering: Callable[[int, int], None] = _quietly,
    ) -> None:
        """``recovering`` is told how far recovery is: (sequence reached, about the last one)."""
        self.settings = settings
        self.now_ns = Timekeeper(now_ns, steady_ns)
        self._recovering = recovering
        self.metrics = Metrics()
        self.log = structlog.get_logger("stack")
        self.port = 0
        self.routers: list[APIRouter] = []
        self.devchain: DevChain
        """Only where the chain is embedded."""
        self._closes = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        # Whatever was opened is closed, the last first, whether or not the rest opens or closes.
        async with self._closes as opened:
            self._build_chain()
            self._build_exchange()
            self._build_merchants()
            self._recover()
            self.acknowledger.read()
            opened.push_async_callback(asyncio.to_thread, self._settle_what_waits)
            opened.push_async_callback(self.pipeline.close)
            opened.push_async_callback(self.merchants.deliveries.close)
            self.pipeline.start()
            await self._list_what_is_missing()
            await self.chain_loop.resume()
            dealt_with = self.chain.block(max(self.watcher.cursor - 1, 0))
            self.chain_loop.looked_ns = 0 if dealt_with is None else dealt_with.timestamp * NS
            for address in self.merchants.watched_addresses():
                self.watcher.watch(address)
            opened.push_async_callback(self._end_loops)
            self._closes = opened.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._closes.__aexit__(kind, error, trace)

    async def _end_loops(self) -> None:
        self._closing.set()
        for task in self._tasks:
            await task

    def _settle_what_waits(self) -> None:
        """Send the last trades before closing: after a rest longer than the contract's horizon
        they could not be settled any more. What the chain does not take now goes at the start."""
        try:
            self.settler.seal_now()
            for _ in range(CLOSING_STEPS_MAX):
                if not self.settler.step():
                    return
        except ChainUnavailableError as error:
            self.log.warning("closing with trades unsent", error=str(error))

    def _build_chain(self) -> None:
        settings = self.settings
        directory = settings.directory
        private_directory(directory)
        # The journal's lock first: two processes on one directory must stop here, not on chain.
        self.storage = DirectoryStorage(directory / "journal")
        self._closes.callback(self.storage.close)
        record = directory / "deployment.json"
        acknowledging = acknowledging_signer(directory).address
        self.chain: Chain
        self.deployment: Deployment
        if isinstance(settings.chain, Remote):
            self.chain = nodes_at(settings.chain.urls)
            # Our own chain has our time. Others know better than a machine that has just begun.
            self.now_ns.begin(self.chain.head().timestamp)
            self.deployment = connect(self.chain, settings.chain.deployment)
            self.deployment.save(record)
        else:
            assert settings.deployer is not None, "an embedded chain is deployed to"
            self.devchain = start_devchain(
                directory / "chain", prefer=settings.chain, clock=self.now_ns
            )
            self._closes.callback(self.devchain.close)
            self.chain = self.devchain.chain
            self.deployment = deploy(
                self.chain,
                record,
                settings.deployer,
                settings.operator.address,
                settings.tokens,
                settings.delays,
                BondPlan(acknowledging, settings.tokens[0].symbol, BOND_RAW),
            )
        check_acknowledger(self.chain, self.deployment, acknowledging)
        self.horizon_s, self.exit_delay_s = check_operator(
            self.chain, self.deployment, settings.operator.address
        )

    def _build_exchange(self) -> None:
        settings, deployment = self.settings, self.deployment
        domain = deployment.domain
        self.catalog, self.keys = Catalog(), KeyBook()
        self.admission = Admission(self.catalog, self.keys)
        self.outbox = Outbox(settings.directory / "settlement.sqlite")
        self._closes.callback(self.outbox.close)
        self.settler = open_settler(
            self.chain,
            self.outbox,
            self.catalog,
            deployment,
            settings.operator,
            Sealing(
                settings.batch_age_ns, horizon_s=self.horizon_s, exit_delay_s=self.exit_delay_s
            ),
            Policy(confirmations=settings.confirmations),
            self.now_ns,
        )
        self.watcher = Watcher(
            self.chain,
            self.outbox,
            deployment.exchange,
            deployment.deploy_block,
            settings.confirmations,
        )
        for token in deployment.tokens:
            self.watcher.watch_token(token.address)
        self.desk = SettlementDesk(self.settler, self.watcher)
        self._build_sequencer()
        self.exchange = Exchange(
            self.pipeline,
            lambda: self.engine,
            self.catalog,
            self.admission,
            domain,
            self.now_ns,
            self._rules_of_withdrawals(),
        )
        self.channels = Channels()
        self.market_data = MarketData(self.catalog, self.channels, self.desk.trade_state)
        self.user_stream = UserStream(
            self.catalog, self.channels, self.exchange.balance, self.desk.trade_state
        )
        self.deposit_book = DepositBook(self.catalog)
        self.unbooked = Unbooked(self.outbox)
        self.reconciler = Reconciler(
            self.chain,
            self.outbox,
            self.settler.sealer,
            self.settler.returns,
            self.catalog,
            deployment,
            lambda: self.engine,
            self.unbooked.pips,
        )
        self.acknowledger = Acknowledger(domain, acknowledging_signer(settings.directory))

    def _rules_of_withdrawals(self) -> Withdrawals:
        return Withdrawals(
            self.deployment.ours,
            {token.symbol: token.least_withdrawal_pips for token in self.settings.tokens}
            | dict(self.settings.least_withdrawal_pips),
            self.settler.returns,
            self.exit_delay_s,
        )

    def _build_sequencer(self) -> None:
        """Journal, snapshots and whoever looks after them."""
        self.journal = Journal(self.storage, self.settings.limits)
        self._closes.callback(self.journal.close)
        directory = self.settings.directory / "snapshots"
        sequencer = Sequencer(
            Engine, self.journal, self.now_ns, SnapshotFiles(DirectoryReader(directory))
        )
        self.sequencer = sequencer
        self.pipeline = Pipeline(sequencer, _end_process)
        self.pipeline.hold_orders(self._clock_leap)
        self.pipeline.hold_orders(self._blindness)
        self.snapshotter = Snapshotter(
            sequencer,
            self.pipeline,
            self.settler.sealer.quiet,
            directory,
            Engine,
            self.now_ns,
        )
        self._closes.callback(self.snapshotter.close)
        self.keeper = Keeper(sequencer, self.journal, self.snapshotter, self.metrics)

    def _build_merchants(self) -> None:
        directory = self.settings.directory
        self.merchants = Merchants(
            database=open_merchants_database(directory),
            exchange=self.exchange,
            settlement=self.desk,
            keyring=FileKeyring(directory / "keys"),
            egress=HttpEgress(loopback_allowed=self.settings.sandbox),
            clock=self.now_ns,
            entropy=secrets.token_bytes,
            jitter=Random(),
            confirmations_required=self.settings.confirmations,
            price_terms=self.settings.prices,
        )
        checkpointed: tuple[CheckpointedConsumer, ...] = (
            self.catalog,
            self.admission,
            self.deposit_book,
            *self.settler.consumers,
            self.market_data,
            self.user_stream,
            self.acknowledger,
            self.merchants.prices,
        )
        for subscription in subscriptions(
            checkpointed, self.merchants, self.reconciler, self.catalog
        ):
            self.pipeline.subscribe(subscription)
        self.reconciliation = Reconciliation(self.reconciler, self.exchange)
        self.chain_loop = ChainLoop(
            settler=self.settler,
            watcher=self.watcher,
            exchange=self.exchange,
            admission=self.admission,
            keys=self.keys,
            deposit_book=self.deposit_book,
            unbooked=self.unbooked,
            payments=self.merchants,
            reconciliation=self.reconciliation,
            listeners=(self.desk, self.market_data, self.user_stream),
        )

    @property
    def engine(self) -> Engine:
        """Return the engine as it is now."""
        return self.sequencer.machine

    def _recover(self) -> None:
        last = about_last_sequence(self.storage)
        for sequence in self.pipeline.recover():
            self._recovering(sequence, max(last, sequence))
        self.keeper.started()

    async def _list_what_is_missing(self) -> None:
        """List tokens and markets once; a crash in between is picked up where it stopped."""
        for token in self.deployment.tokens[len(self.catalog.tokens) :]:
            receipt = await self.exchange.list_token(
                TokenListing(token.symbol, token.address, token.decimals, token.unit_scale)
            )
            assert receipt.accepted, f"{token.symbol}: {receipt.outcome.name}"
        for plan in self.settings.markets[len(self.catalog.markets) :]:
            receipt = await self.exchange.list_market(**plan._asdict())
            assert receipt.accepted, f"{plan.symbol}: {receipt.outcome.name}"

    async def serve(self) -> int:
        """Open the door and start the loops; return the port."""
        settings = self.settings
        services = Services(
            exchange=self.exchange,
            contracts=self.deployment.contracts,
            settlement=self.desk,
            channels=self.channels,
            market_data=self.market_data,
            user_stream=self.user_stream,
            sessions=SessionIssuer(kept_secret(settings.directory, "session.secret"), self.now_ns),
            limits=RateLimits(settings.budgets),
            metrics=self.metrics,
            now_ns=self.now_ns,
            not_ready=self._not_ready,
            acknowledge=self.acknowledger.of,
            restrictions=self._restrictions,
            version=VERSION,
            outbox_bounds=OutboxBounds(),
            routers=tuple(self.routers),
            clients=Clients(settings.trusted_proxies),
            sockets_per_client=settings.sockets_per_client,
            operator_token=self.operator_token(),
        )
        app = create_app(services)
        door = Doorkeeper(settings.door, services.clients, self.metrics.turned_away.inc)
        server = HttpServer(
            app, settings.host, settings.port, door=door, listening=settings.listening
        )
        self.port = await server.start()
        self._closes.push_async_callback(server.stop)
        # What is here now stays. Looked through at each full collection it would hold every answer
        # up, by tens of milliseconds, and a snapshot's child would copy all of it.
        gc.collect()
        gc.freeze()
        is_ours = not isinstance(settings.chain, Remote)
        chain_seconds = EMBEDDED_CHAIN_SECONDS if is_ours else REMOTE_CHAIN_SECONDS
        self._start_loop(self._chain_turn, chain_seconds, "chain")
        self._start_loop(self._tick, TICK_SECONDS, "clock")
        self._start_loop(self._show_figures, FIGURES_SECONDS, "figures")
        self._start_loop(self.merchants.step, MERCHANT_SECONDS, "merchants")
        self._start_loop(self.keeper.turn, KEEPER_SECONDS, "keeper")
        return self.port

    def operator_token(self) -> str:
        """Return the bearer token for operator routes, kept in the data directory."""
        return kept_secret(self.settings.directory, "operator.token").decode()

    def _start_loop(self, turn: Callable[[], Any], seconds: float, name: str) -> None:
        async def loop() -> None:
            while not self._closing.is_set():
                is_busy = await turn()
                if not is_busy:
                    try:
                        await asyncio.wait_for(self._closing.wait(), seconds)
                    except TimeoutError:
                        continue

        task = asyncio.create_task(loop(), name=name)
        task.add_done_callback(self._loop_ended)
        self._tasks.append(task)

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A loop that cannot go on is a bug: better to stop and say so than to run on half.
            self.log.error("loop failed", loop=task.get_name(), fault=brief(error))
            _end_process(error)

    async def _chain_turn(self) -> bool:
        moved = await self.chain_loop.turn()
        self.now_ns.seen(self.chain_loop.head_s)
        return moved

    def _clock_leap(self) -> str | None:
        leap_ns = self.now_ns.leap_ns
        if not leap_ns:
            return None
        return (
            f"our clock has leapt {leap_ns // NS} s ahead, and no block says that it is so late: "
            "cancels only"
        )

    def _blindness(self) -> str | None:
        """Who asks for an exit is frozen when we see it, and could trade on what he takes until
        then: half of the time that an exit leaves to a batch is as long as we may not look."""
        seen_ns = self.chain_loop.looked_ns
        if isinstance(self.settings.chain, Remote) and self.chain_loop.head_s:
            # A node that stands still answers, and shows nothing.
            seen_ns = min(seen_ns, self.chain_loop.head_s * NS)
        blind_s = (self.now_ns() - seen_ns) // NS
        if blind_s <= (self.exit_delay_s - self.horizon_s) // 2:
            return None
        return f"the chain was not seen for {blind_s} s: cancels only"

    async def _tick(self) -> None:
        if self.admission.has_expired(self.now_ns()):
            await self.exchange.tick()

    async def _show_figures(self) -> None:
        shown = self.metrics.settlement
        shown.show(await asyncio.to_thread(self.settler.figures))
        shown.reconciled_block.set(self.reconciliation.block)
        shown.unbooked.set(len(self.unbooked))
        shown.tokens_halted.set(len(self.reconciliation.reasons))
        for symbol, pips in self.reconciliation.surplus.items():
            shown.surplus.labels(symbol).set(pips)

    def _restrictions(self) -> list[str]:
        unbooked = map(str, self.unbooked.due()[:UNBOOKED_SHOWN_MAX])
        found = [*self.keeper.restrictions(), *self.pipeline.held]
        return [*found, *self.reconciliation.debts, *unbooked]

    def _not_ready(self) -> list[str]:
        missing = []
        if self.settler.halted is not None:
            missing.append(f"settlement is halted: {self.settler.halted}")
        missing += [f"settlement waits: {trouble}" for trouble in self.settler.troubles]
        missing += [f"trading is halted: {why}" for why in self.reconciliation.reasons]
        if self.chain_loop.unreachable:
            # What the node said is in the log: with some it names the key that we pay for.
            missing.append("the chain does not answer")
        return list(map(redacted, missing))


def _end_process(error: BaseException) -> None:
    """End at once: what reached the disk decides at the next start, not this memory."""
    structlog.get_logger("stack").critical("cannot go on", error=brief(error))
    os._exit(EXIT_DISK_FAILED)


def sandbox_settings(directory: Path, host: str, port: int, chain: ChainName) -> Settings:
    """Return a whole exchange on an embedded chain with two worthless tokens."""
    return Settings(
        directory=directory,
        host=host,
        port=port,
        chain=chain,
        operator=SecretSigner(dev_secret(0)),
        deployer=SecretSigner(dev_secret(9)),
        tokens=(
            TokenPlan("Demo Dollar", "USD", 6, least_withdrawal_pips=PIPS_PER_TOKEN),
            TokenPlan("Demo Token", "TOKEN", 18),
        ),
        markets=(
            MarketPlan(
                symbol="TOKEN-USD",
                base="TOKEN",
                quote="USD",
                lot_pips=10_000,
                tick_pips=100,
                maker_fee_ppm=200,
                taker_fee_ppm=1_000,
                least_notional_pips=PIPS_PER_TOKEN,
            ),
        ),
        # Its two makers quote at once, and nothing was ever traded when the first invoice is made.
        prices=PriceTerms(age_ns=10**9, references={"TOKEN-USD": 2_500 * PIPS_PER_TOKEN}),
        # Everybody in a sandbox comes from the same loopback address.
        budgets=Budgets(
            requests_per_address=100_000,
            cancels_per_address=100_000,
            orders_per_account=100_000,
            cancels_per_account=100_000,
            orders_per_address=100_000,
            withdrawals_per_account=100_000,
            probes_per_address=100_000,
        ),
        sandbox=True,
        door=DoorBounds(per_network_max=5_000),
        sockets_per_client=5_000,
    )
