"""How does an exchange run?

``Stack`` opens what lasts, has ``gateway.node.assembly`` put the exchange together over it, keeps
the loops and the door going, and closes. Opening order is recovery order: chain, contracts, key
register, journal, then the loops and the door. Whatever moment the last process died at, opening
goes on from there.
"""

import asyncio
import gc
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import structlog
from fastapi import APIRouter, FastAPI

from engine.core import Engine
from engine.journal import DirectoryReader, DirectoryStorage, SnapshotFiles
from engine.journal.reader import about_last_sequence
from engine.sequencer.snapshotter import Snapshotter
from engine.sequencer.subscription import Subscription
from engine.sequencer.timekeeper import NS, Timekeeper
from gateway.api.admin.services import AdminServices
from gateway.api.services import PageTerms, Services
from gateway.api.v1.people_access import Gate, Work
from gateway.http.clients import Clients
from gateway.http.doorkeeper import DoorBounds, Doorkeeper
from gateway.http.draining import Draining
from gateway.http.lifecycle import Lifecycle
from gateway.http.metrics import Metrics
from gateway.http.mounting import Together
from gateway.http.outbox import OutboxBounds
from gateway.http.server import HttpServer
from gateway.node.admin import ADMIN_BUDGETS, create_admin_app
from gateway.node.app import create_app, write_documents
from gateway.node.assembly import Assembly, LogSeams, Parts, Seams, Views, assemble, begin
from gateway.node.health import CollectorPauses, LoopLag
from gateway.node.key_epochs import FileEpochs
from gateway.node.logs import brief, redacted
from gateway.node.monitor import Keeper
from gateway.node.pace import Pace, Rhythm
from gateway.node.secrets import acknowledging_signer, kept_secret, private_directory
from gateway.node.settings import MarketPlan, Remote, Settings
from gateway.trading.api_keys import ApiKeys
from gateway.trading.budgets import RateLimits, ShopLimits
from gateway.trading.sessions import SessionIssuer
from gateway.trading.siwe_logon import Nonces
from gateway.views.market_states import StatusWatch
from merchants.sales.rate_reader import RateReader
from merchants.service import open_merchants_database
from merchants.stores.keyring import FileKeyring
from merchants.webhooks.egress import HttpEgress
from merchants.webhooks.fetch import HttpFetch
from settlement.chain.chain import Chain, ChainUnavailableError
from settlement.chain.deploy import (
    BondPlan,
    DeployedToken,
    Deployment,
    check_acknowledger,
    check_operator,
    connect,
    deploy,
)
from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.chain.quorum import nodes_at
from settlement.chain.signer import Signer
from settlement.outbox.outbox import Outbox

VERSION: Final = "0.1.0"
EXIT_DISK_FAILED: Final = 70
TICK: Final = Rhythm(0.25, 0.25)
"""Orders expire on time, whether or not anything else happens."""

EMBEDDED_CHAIN: Final = Rhythm(0.1, 1.0)
REMOTE_CHAIN: Final = Rhythm(1.0, 1.0)
"""A turn asks for the newest block twice; nodes of others count that."""

FIGURES: Final = Rhythm(2.0, 10.0)
MERCHANTS: Final = Rhythm(0.2, 1.0)
KEEPER: Final = Rhythm(0.5, 1.0)
RATES: Final = Rhythm(5.0, 5.0)
STATUS: Final = Rhythm(0.5, 1.0)
BOND_RAW: Final = 100_000 * 10**6
"""What a sandbox stakes, of its first token."""

DRAIN_SECONDS: Final = 6
"""What sockets have to be told and closed in, and then once more what answers have to go out in:
the rest of ``END_SECONDS_MAX`` is for the chain and the last snapshot."""

CLOSING_STEPS_MAX: Final = 100
UNBOOKED_SHOWN_MAX: Final = 8


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
        stop: asyncio.Event | None = None,
    ) -> None:
        """``recovering`` is told how far recovery is: (sequence reached, about the last one).
        ``stop`` is set where an operator has the process end; whoever waits for it closes us."""
        self.settings = settings
        self.now_ns = Timekeeper(now_ns, steady_ns)
        self._recovering = recovering
        self.metrics = Metrics()
        self.log = structlog.get_logger("stack")
        self.port = 0
        self.admin_port = 0
        """0 where there is no API for operators."""
        self._stop = stop or asyncio.Event()
        self.routers: list[APIRouter | Together] = []
        self.public_url = ""
        """How browsers reach us; as the routers, set before anybody may."""
        self.page = PageTerms(explorer_url=settings.explorer_url)
        self.chain: Chain
        self.deployment: Deployment
        self.devchain: DevChain
        """Only where the chain is embedded."""
        self.parts: Assembly
        self.snapshotter: Snapshotter[Engine]
        self.keeper: Keeper
        self._blind_s_max: int
        self._closes = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.pace = Pace(steady_ns)

    async def __aenter__(self) -> Self:
        # Whatever was opened is closed, the last first, whether or not the rest opens or closes.
        async with self._closes as opened:
            storage = self._open_storage()
            acknowledging = acknowledging_signer(self.settings.directory)
            self._open_chain(acknowledging.address)
            seams = self._seams(storage, acknowledging)
            self.parts = parts = assemble(seams, Parts(), self.settings.exchange)
            opened.callback(parts.journal.close)
            parts.pipeline.hold_orders(self._clock_leap)
            parts.pipeline.hold_orders(self._blindness)
            parts.pipeline.subscribe(Subscription("pace", self.pace))
            parts.pipeline.measured_by(self.metrics.stages.turn)
            self._keep_snapshots()
            self._recover(storage)
            self.views.acknowledger.read()
            opened.callback(self._last_snapshot)
            opened.push_async_callback(asyncio.to_thread, self._settle_what_waits)
            opened.push_async_callback(parts.pipeline.close)
            opened.push_async_callback(parts.merchants.deliveries.close)
            await begin(parts, self.deployment, self._planned_markets())
            self._record_tokens()
            dealt_with = self.chain.block(max(parts.watcher.cursor - 1, 0))
            parts.chain_loop.looked_ns = 0 if dealt_with is None else dealt_with.timestamp * NS
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
        self.pace.end()
        for task in self._tasks:
            await task

    def _last_snapshot(self) -> None:
        """Behind everything else, where anybody was served: else there is nothing to keep."""
        if self.port:
            self.snapshotter.last()

    def _settle_what_waits(self) -> None:
        """Send the last trades before closing: after a rest longer than the contract's horizon
        they could not be settled any more. What the chain does not take now goes at the start."""
        try:
            self.parts.settler.seal_now()
            for _ in range(CLOSING_STEPS_MAX):
                if not self.parts.settler.step():
                    return
        except ChainUnavailableError as error:
            self.log.warning("closing with trades unsent", error=str(error))

    def _open_storage(self) -> DirectoryStorage:
        """The journal's lock first: two processes on one directory must stop here, not on chain."""
        private_directory(self.settings.directory)
        storage = DirectoryStorage(
            self.settings.directory / "journal",
            lambda took_ns: self.metrics.machine.journal_sync.observe(took_ns / NS),
        )
        self._closes.callback(storage.close)
        return storage

    def _open_chain(self, acknowledging: bytes) -> None:
        settings, directory = self.settings, self.settings.directory
        record = directory / "deployment.json"
        if isinstance(settings.chain, Remote):
            self.chain = nodes_at(settings.chain.urls)
            # Our own chain has our time. Others know better than a machine that has just begun.
            self.now_ns.begin(self.chain.head().timestamp)
            self.deployment = connect(self.chain, settings.chain.deployment)
            self.deployment.save(record)
            return
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

    def _planned_markets(self) -> Sequence[MarketPlan]:
        """Return what is to be listed. A sandbox that an earlier build has laid out lacks tokens of
        this one's plan, and goes on without their markets."""
        plans = self.settings.markets
        if not self.settings.sandbox:
            return plans
        there = {token.symbol for token in self.deployment.tokens}
        return [plan for plan in plans if {plan.base, plan.quote} <= there]

    def _seams(self, storage: DirectoryStorage, acknowledging: Signer) -> Seams:
        """Open what else outlives a process."""
        settings, directory, deployment = self.settings, self.settings.directory, self.deployment
        check_acknowledger(self.chain, deployment, acknowledging.address)
        horizon_s, exit_delay_s = check_operator(self.chain, deployment, settings.operator.address)
        self._blind_s_max = (exit_delay_s - horizon_s) // 2
        outbox = Outbox(directory / "settlement.sqlite")
        self._closes.callback(outbox.close)
        snapshots = SnapshotFiles(DirectoryReader(directory / "snapshots"))
        return Seams(
            log=LogSeams(storage, snapshots, self.now_ns, _end_process),
            chain=self.chain,
            deployment=deployment,
            horizon_s=horizon_s,
            exit_delay_s=exit_delay_s,
            operator=settings.operator,
            acknowledging=acknowledging,
            outbox=outbox,
            database=open_merchants_database(directory, settings.merchants_database),
            keyring=FileKeyring(directory / "keys"),
            sealing=bytes.fromhex(kept_secret(directory, "people.secret").decode()),
            egress=HttpEgress(loopback_allowed=settings.sandbox),
            entropy=secrets.token_bytes,
            jitter=Random(),
            listed=lambda _: self._record_tokens(),
        )

    def _record_tokens(self) -> None:
        """Write into the record of the deployment which tokens an operator has listed since: who
        audits an exported log holds its tokens against the contract's by that."""
        since = self.parts.catalog.tokens[len(self.deployment.tokens) :]
        if since:
            rows = [
                DeployedToken(t.symbol, t.symbol, t.decimals, t.unit_scale, t.address)
                for t in since
            ]
            self.deployment = self.deployment._replace(tokens=(*self.deployment.tokens, *rows))
            self.deployment.save(self.settings.directory / "deployment.json")

    def _keep_snapshots(self) -> None:
        parts = self.parts
        self.snapshotter = Snapshotter(
            parts.sequencer,
            parts.pipeline,
            parts.settler.queue.lock,
            self.settings.directory / "snapshots",
            Engine,
            self.now_ns,
        )
        self._closes.callback(self.snapshotter.close)
        self.keeper = Keeper(parts.sequencer, parts.journal, self.snapshotter, self.metrics)

    def _recover(self, storage: DirectoryStorage) -> None:
        last = about_last_sequence(storage)
        for sequence in self.parts.pipeline.recover():
            self._recovering(sequence, max(last, sequence))
        self.keeper.started()

    @property
    def engine(self) -> Engine:
        """Return the engine as it is now."""
        machine: Engine = self.parts.sequencer.machine
        return machine

    @property
    def views(self) -> Views:
        """Return what traders are shown."""
        assert self.parts.views is not None, "somebody signs for it"
        return self.parts.views

    async def serve(self) -> int:
        """Open the door and start the loops; return the port."""
        settings, parts, views = self.settings, self.parts, self.views
        services = Services(
            exchange=parts.exchange,
            contracts=self.deployment.contracts,
            settlement=parts.desk,
            channels=views.channels,
            market_data=views.market_data,
            candles=views.candles,
            market_states=parts.market_states,
            user_stream=views.user_stream,
            transfers=views.transfers,
            sessions=self._sessions(),
            limits=RateLimits(settings.budgets),
            metrics=self.metrics,
            now_ns=self.now_ns,
            not_ready=self._not_ready,
            acknowledge=views.acknowledger.of,
            restrictions=self._restrictions,
            version=VERSION,
            outbox_bounds=OutboxBounds(),
            routers=tuple(self.routers),
            clients=Clients(settings.trusted_proxies),
            sockets_per_client=settings.sockets_per_client,
            operator_token=self.operator_token(),
            api_keys=self.api_keys(),
            session_keys=settings.session_keys,
            happened=self.pace.happened,
            public_url=self.public_url,
            page=self.page,
        )
        app = create_app(services)
        write_documents(app)
        await self._listen_to_operators(app.state.lifecycle)
        door = Doorkeeper(settings.door, services.clients, self.metrics.turned_away.inc)
        server = HttpServer(
            app, settings.host, settings.port, DRAIN_SECONDS, door, settings.listening
        )
        self.port = await server.start()
        self._closes.push_async_callback(server.stop)
        self._measure_ourselves()
        # What is here now stays. Looked through at each full collection it would hold every answer
        # up, by tens of milliseconds, and a snapshot's child would copy all of it.
        gc.collect()
        gc.freeze()
        self._start_loops(app)
        return self.port

    def _start_loops(self, app: FastAPI) -> None:
        is_ours = not isinstance(self.settings.chain, Remote)
        self._start_loop(self._chain_turn, EMBEDDED_CHAIN if is_ours else REMOTE_CHAIN, "chain")
        self._start_loop(self._tick, TICK, "clock")
        self._start_loop(self._show_figures, FIGURES, "figures")
        self._start_loop(self.parts.merchants.step, MERCHANTS, "merchants")
        self._start_loop(self.keeper.turn, KEEPER, "keeper")
        if self.settings.rate_sources:
            reader = RateReader(
                self.parts.merchants.rates, self.settings.rate_sources, HttpFetch(), self.now_ns
            )
            self._start_loop(reader.step, RATES, "rates")
        self._start_loop(partial(_look, app.state.status_watch), STATUS, "status")

    def _measure_ourselves(self) -> None:
        """Look until the end at what holds the event loop up."""
        for watched in (
            LoopLag(self.metrics.machine.loop_lag.observe),
            CollectorPauses(self.metrics.machine.gc_pause.observe),
        ):
            watched.begin()
            self._closes.callback(watched.end)

    def _sessions(self) -> SessionIssuer:
        secret = kept_secret(self.settings.directory, "session.secret")
        return SessionIssuer(secret, self.now_ns, os.urandom)

    async def _listen_to_operators(self, lifecycle: Lifecycle) -> None:
        """Before the other door is open, and until it is closed."""
        plan, parts = self.settings.admin, self.parts
        if plan is None:
            return
        clients = Clients()  # No proxy has any business there.
        services = AdminServices(
            operations=parts.operations,
            tokens=plan.tokens,
            limits=RateLimits(ADMIN_BUDGETS),
            clients=clients,
            metrics=self.metrics,
            draining=Draining(lifecycle, self._stop.set),
            take_snapshot=self.snapshotter.begin_if_idle,
            snapshots=lambda: (self.snapshotter.sequence, self.snapshotter.is_busy),
            sequence=lambda: parts.sequencer.sequence,
            not_ready=self._not_ready,
            restrictions=self._restrictions,
            version=VERSION,
        )
        door = Doorkeeper(DoorBounds(), clients, self.metrics.turned_away.inc)
        app = create_admin_app(services)
        server = HttpServer(app, plan.host, plan.port, door=door, listening=plan.listening)
        self.admin_port = await server.start()
        self._closes.push_async_callback(server.stop)

    def operator_token(self) -> str:
        """Return the bearer token for operator routes, kept in the data directory."""
        return kept_secret(self.settings.directory, "operator.token").decode()

    def gate(self, public_url: str, kept: ShopLimits) -> Gate:
        """Return what people sign in by, at the address where browsers reach us; ``kept`` charges
        what is kept for good, of people as of shops."""
        secret = kept_secret(self.settings.directory, "people.secret")
        return Gate(
            people=self.parts.merchants.people,
            domain=self.parts.exchange.domain,
            operator_token=self.operator_token(),
            public_url=public_url,
            limits=RateLimits(self.settings.budgets),
            clients=Clients(self.settings.trusted_proxies),
            nonces=Nonces(secret, self.now_ns, os.urandom),
            now_ns=self.now_ns,
            proofs=Work(),
            reads=Work(),
            wallets=Work(),
            kept=kept,
        )

    def api_keys(self) -> ApiKeys:
        """Return who knows the API keys of the dialect for other exchanges' tools."""
        directory = self.settings.directory
        secret = bytes.fromhex(kept_secret(directory, "api.secret").decode())
        return ApiKeys(secret, FileEpochs(directory / "api-key.epochs"), self.now_ns)

    def _start_loop(self, turn: Callable[[], Any], rhythm: Rhythm, name: str) -> None:
        async def loop() -> None:
            while not self.pace.is_over:
                is_busy = await turn()
                if not is_busy:
                    await self.pace.wait(rhythm)

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
        moved = await self.parts.chain_loop.turn()
        if moved or self.parts.chain_loop.waits_for_blocks:
            self.pace.happened()
        self.now_ns.seen(self.parts.chain_loop.head_s)
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
        chain_loop = self.parts.chain_loop
        seen_ns = chain_loop.looked_ns
        if isinstance(self.settings.chain, Remote) and chain_loop.head_s:
            # A node that stands still answers, and shows nothing.
            seen_ns = min(seen_ns, chain_loop.head_s * NS)
        blind_s = (self.now_ns() - seen_ns) // NS
        if blind_s <= self._blind_s_max:
            return None
        return f"the chain was not seen for {blind_s} s: cancels only"

    async def _tick(self) -> None:
        if self.parts.admission.has_expired(self.now_ns()):
            await self.parts.exchange.tick()

    async def _show_figures(self) -> None:
        shown = self.metrics.settlement
        shown.show(await asyncio.to_thread(self.parts.settler.figures))
        shown.reorganisations.set(self.parts.watcher.reorganisations)
        head_s = self.parts.chain_loop.head_s
        shown.head_age.set(max(0, self.now_ns() // NS - head_s) if head_s else 0)
        shown.reconciled_block.set(self.parts.reconciliation.block)
        shown.unbooked.set(len(self.parts.unbooked))
        shown.tokens_halted.set(len(self.parts.reconciliation.reasons))
        for symbol, pips in self.parts.reconciliation.surplus.items():
            shown.surplus.labels(symbol).set(pips)

    def _restrictions(self) -> list[str]:
        unbooked = map(str, self.parts.unbooked.due()[:UNBOOKED_SHOWN_MAX])
        found = [*self.keeper.restrictions(), *self.parts.pipeline.held]
        return [*found, *self.parts.reconciliation.debts, *unbooked]

    def _not_ready(self) -> list[str]:
        missing = []
        if self.parts.settler.halted is not None:
            missing.append(f"settlement is halted: {self.parts.settler.halted}")
        missing += [f"settlement waits: {trouble}" for trouble in self.parts.settler.troubles]
        missing += [f"trading is halted: {why}" for why in self.parts.reconciliation.reasons]
        if self.parts.chain_loop.unreachable:
            # What the node said is in the log: with some it names the key that we pay for.
            missing.append("the chain does not answer")
        return list(map(redacted, missing))


async def _look(watch: StatusWatch) -> None:
    watch.look()


def _end_process(error: BaseException) -> None:
    """End at once: what reached the disk decides at the next start, not this memory."""
    structlog.get_logger("stack").critical("cannot go on", error=brief(error))
    os._exit(EXIT_DISK_FAILED)
