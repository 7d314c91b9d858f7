"""How is one exchange put together?

Here and nowhere else: ``assemble`` makes every object and hands each what it needs, for the process
that ``gateway.node.node`` opens and for every life in the simulator. Whoever needs neither chain
nor shops takes the inner ring alone: ``assemble_trading``, and ``assemble_views`` around it.
Nothing is opened, begun or closed here. What outlives a process comes in through ``Seams``.
"""

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

import sqlalchemy as sa

from engine.core import Engine
from engine.journal import Journal, SnapshotFiles, Storage
from engine.log_entries import CheckpointedConsumer
from engine.sequencer.pipeline import Pipeline
from engine.sequencer.sequencer import LastingMachineType, Sequencer
from engine.sequencer.subscription import Subscription
from engine.types import Limits
from gateway.node.settings import ExchangeSettings, MarketPlan
from gateway.views.candles import Candles
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.market_states import StateTeller
from gateway.views.settlement import SettlementDesk
from gateway.views.transfers import Transfers
from gateway.views.user_orders import UserStream
from merchants.people.people import PeopleTerms
from merchants.service import Merchants
from merchants.stores.keyring import Keyring
from merchants.webhooks.egress import Egress
from settlement.audit.reconcile import Reconciler
from settlement.audit.standings import Standings
from settlement.batches.acknowledgements import Acknowledger
from settlement.batches.sealer import Sealing
from settlement.chain.chain import Chain
from settlement.chain.deploy import Deployment
from settlement.chain.signer import Signer
from settlement.exchange import Exchange
from settlement.halts import Phases, Reconciliation, is_paused
from settlement.operations import Operations, token_on_chain
from settlement.orders.admission import Admission
from settlement.orders.catalog import Catalog, Token
from settlement.orders.market_states import MarketStates
from settlement.orders.session_keys import SessionKeys
from settlement.orders.withdrawals import Withdrawals
from settlement.outbox.authorizations import Authorizations
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import Policy
from settlement.ports import TradeState
from settlement.protocol.eip712 import Domain
from settlement.protocol.evidence import TokenListing
from settlement.settler import Settler, open_settler
from settlement.watching.deposits import CreditedDeposits
from settlement.watching.unbooked import Unbooked
from settlement.watching.watcher import Watcher
from settlement.worker import ChainLoop


def _nobody(_: Token) -> None:
    """Tell nobody."""


class Parts(NamedTuple):
    """How the parts are made that are not the same everywhere; by default, the product's."""

    machine: LastingMachineType[Any] = Engine
    journal: Callable[[Storage, Limits], Journal] = Journal
    sequencer: Callable[..., Sequencer[Any]] = Sequencer
    pipeline: Callable[[Sequencer[Any], Callable[[BaseException], None]], Pipeline] = Pipeline
    observers: tuple[CheckpointedConsumer, ...] = ()
    """More consumers, who look on."""


class LogSeams(NamedTuple):
    """Where the log is kept, what time it is, and who is told when it cannot be written."""

    storage: Storage
    snapshots: SnapshotFiles | None
    now_ns: Callable[[], int]
    failed: Callable[[BaseException], None]


class Seams(NamedTuple):
    """What outlives a process, how the process reaches it, and what it leaves to chance."""

    log: LogSeams
    chain: Chain
    deployment: Deployment
    horizon_s: int
    """How old a trade may be when the contract takes it."""

    exit_delay_s: int
    operator: Signer
    acknowledging: Signer | None
    """Signs the operator's word on an order; None: nobody looks on, and there are no views."""

    outbox: Outbox
    database: sa.Engine
    """The merchants'."""

    keyring: Keyring
    sealing: bytes
    """Seals what of people must not be read in the database."""
    egress: Egress
    entropy: Callable[[int], bytes]
    jitter: Random
    listed: Callable[[Token], None] = _nobody
    """Is told of a token that an operator lists while the exchange runs."""


class Trading(NamedTuple):
    """The log, the machine behind it, and the checks in front."""

    catalog: Catalog
    keys: SessionKeys
    admission: Admission
    market_states: MarketStates
    journal: Journal
    sequencer: Sequencer[Any]
    pipeline: Pipeline
    exchange: Exchange


class Views(NamedTuple):
    """What traders are shown."""

    channels: Channels
    market_data: MarketData
    candles: Candles
    user_stream: UserStream
    transfers: Transfers
    acknowledger: Acknowledger


class Assembly(NamedTuple):
    """A whole exchange."""

    catalog: Catalog
    keys: SessionKeys
    admission: Admission
    market_states: MarketStates
    journal: Journal
    sequencer: Sequencer[Any]
    pipeline: Pipeline
    exchange: Exchange
    outbox: Outbox
    settler: Settler
    authorizations: Authorizations
    watcher: Watcher
    desk: SettlementDesk
    credited_deposits: CreditedDeposits
    unbooked: Unbooked
    reconciliation: Reconciliation
    operations: Operations
    merchants: Merchants
    views: Views | None
    chain_loop: ChainLoop
    subscriptions: tuple[Subscription, ...]
    """Who follows the log."""


def assemble(seams: Seams, parts: Parts, settings: ExchangeSettings) -> Assembly:
    """Return an exchange over ``seams``; call ``pipeline.recover`` next, then ``begin``."""
    catalog, deployment = Catalog(), seams.deployment
    settler = _settler(seams, settings, catalog)
    watcher = _watcher(seams, settings)
    standings = Standings()
    desk = SettlementDesk(settler, watcher, standings)
    rules = Withdrawals(
        deployment.ours, settings.least_withdrawals, settler.reversals, seams.exit_delay_s
    )
    trading = assemble_trading(seams.log, parts, settings.limits, catalog, deployment.domain, rules)
    signer = seams.acknowledging
    views = None if signer is None else assemble_views(trading, desk.trade_state, signer)
    merchants = _merchants(seams, settings, trading.exchange, desk)
    credited_deposits, unbooked = CreditedDeposits(catalog), Unbooked(seams.outbox)
    reconciler = _reconciler(seams, settler, trading, unbooked, standings)
    reconciliation = Reconciliation(reconciler, trading.exchange)
    subscriptions = subscriptions_of(
        trading,
        observers=parts.observers,
        settlement=(credited_deposits, *settler.consumers),
        views=views,
        merchants=merchants,
        reconciler=reconciler,
    )
    subscribe(trading.pipeline, subscriptions)
    shown = () if views is None else (views.market_data, views.user_stream)
    chain_loop = ChainLoop(
        settler=settler,
        watcher=watcher,
        exchange=trading.exchange,
        admission=trading.admission,
        keys=trading.keys,
        credited_deposits=credited_deposits,
        unbooked=unbooked,
        payments=merchants,
        reconciliation=reconciliation,
        # The desk hears first: the others ask it.
        listeners=(desk, *shown, merchants),
    )
    return Assembly(
        *trading,
        outbox=seams.outbox,
        settler=settler,
        authorizations=Authorizations(
            seams.chain, seams.outbox, seams.operator.address, seams.log.now_ns
        ),
        watcher=watcher,
        desk=desk,
        credited_deposits=credited_deposits,
        unbooked=unbooked,
        reconciliation=reconciliation,
        operations=_operations(seams, trading, reconciliation, settler, watcher, chain_loop),
        merchants=merchants,
        views=views,
        chain_loop=chain_loop,
        subscriptions=subscriptions,
    )


def assemble_trading(
    seams: LogSeams,
    parts: Parts,
    limits: Limits,
    catalog: Catalog,
    domain: Domain,
    withdrawals: Withdrawals,
) -> Trading:
    """Return what takes orders; nobody follows its log yet, see ``subscribe``."""
    keys = SessionKeys()
    admission = Admission(catalog, keys)
    journal = parts.journal(seams.storage, limits)
    sequencer = parts.sequencer(parts.machine, journal, seams.now_ns, seams.snapshots)
    pipeline = parts.pipeline(sequencer, seams.failed)
    pipeline.read_by(catalog)
    exchange = Exchange(
        pipeline,
        lambda: sequencer.machine,
        catalog,
        admission,
        domain,
        seams.now_ns,
        withdrawals,
    )
    states = MarketStates()
    return Trading(catalog, keys, admission, states, journal, sequencer, pipeline, exchange)


def assemble_views(
    trading: Trading, trade_state: Callable[[int], TradeState], acknowledging: Signer
) -> Views:
    """Return what shows a log to traders."""
    catalog, exchange, channels = trading.catalog, trading.exchange, Channels()
    trading.market_states.listeners.append(StateTeller(channels).changed)
    return Views(
        channels,
        MarketData(catalog, channels, trade_state),
        Candles(channels),
        UserStream(catalog, channels, exchange.balance, trade_state),
        Transfers(catalog),
        Acknowledger(exchange.domain, acknowledging),
    )


def subscriptions_of(
    trading: Trading,
    *,
    observers: Sequence[CheckpointedConsumer] = (),
    settlement: Sequence[CheckpointedConsumer] = (),
    views: Views | None = None,
    merchants: Merchants | None = None,
    reconciler: Reconciler | None = None,
) -> tuple[Subscription, ...]:
    """Return who follows the log. In which order each is shown a batch makes no difference."""
    checkpointed: list[CheckpointedConsumer] = [trading.admission, trading.market_states]
    checkpointed += [*observers, *settlement]
    if views is not None:
        checkpointed += [views.market_data, views.candles]
        checkpointed += [views.user_stream, views.transfers, views.acknowledger]
    if merchants is not None:
        checkpointed.append(merchants.prices)
    found = [Subscription(consumer.checkpoint_name, consumer) for consumer in checkpointed]
    # The merchants have a database, and answer nobody. Of who was touched lately nobody asks
    # after a restart.
    if merchants is not None:
        found.append(Subscription("merchants", merchants, is_inline=False))
    if reconciler is not None:
        found.append(Subscription("reconciler", reconciler))
    return tuple(found)


def subscribe(pipeline: Pipeline, subscriptions: Iterable[Subscription]) -> None:
    """Let all of them follow the log."""
    for subscription in subscriptions:
        pipeline.subscribe(subscription)


async def begin(exchange: Assembly, deployment: Deployment, markets: Sequence[MarketPlan]) -> None:
    """Take orders after recovery, and go on with whatever the last process left undone."""
    exchange.pipeline.start()
    await list_what_is_missing(exchange.exchange, deployment, markets)
    for token in exchange.catalog.tokens[len(deployment.tokens) :]:
        heed(exchange.settler, exchange.watcher, token)
    await exchange.chain_loop.resume()
    for address in exchange.merchants.watched_addresses():
        exchange.watcher.watch(address)


def heed(settler: Settler, watcher: Watcher, token: Token) -> None:
    """Settle and watch a token that the record of the deployment does not have."""
    settler.listed(token.address)
    watcher.watch_token(token.address)


async def list_what_is_missing(
    exchange: Exchange, deployment: Deployment, markets: Sequence[MarketPlan]
) -> None:
    """List tokens and markets once; a crash in between is picked up where it stopped."""
    catalog = exchange.catalog
    for token in deployment.tokens[len(catalog.tokens) :]:
        result = await exchange.list_token(
            TokenListing(token.symbol, token.address, token.decimals, token.unit_scale)
        )
        assert result.accepted, f"{token.symbol}: {result.outcome.name}"
    # By name: an operator lists some while the exchange runs, and those are not in the plans.
    for plan in markets:
        if catalog.market(plan.symbol) is not None:
            continue
        result = await exchange.list_market(**plan._asdict())
        assert result.accepted, f"{plan.symbol}: {result.outcome.name}"


def _settler(seams: Seams, settings: ExchangeSettings, catalog: Catalog) -> Settler:
    return open_settler(
        seams.chain,
        seams.outbox,
        catalog,
        seams.deployment,
        seams.operator,
        Sealing(settings.batch_age_ns, horizon_s=seams.horizon_s, exit_delay_s=seams.exit_delay_s),
        Policy(confirmations=settings.confirmations),
        seams.log.now_ns,
    )


def _operations(
    seams: Seams,
    trading: Trading,
    reconciliation: Reconciliation,
    settler: Settler,
    watcher: Watcher,
    chain_loop: ChainLoop,
) -> Operations:
    """Return what an operator may ask for while the exchange runs."""
    chain, contract = seams.chain, seams.deployment.exchange

    def listed(token: Token) -> None:
        heed(settler, watcher, token)
        seams.listed(token)

    return Operations(
        trading.exchange,
        Phases(
            trading.exchange,
            reconciliation,
            lambda token: is_paused(chain, contract, chain_loop.head, token),
        ),
        trading.market_states,
        lambda number: token_on_chain(chain, contract, number),
        listed,
    )


def _watcher(seams: Seams, settings: ExchangeSettings) -> Watcher:
    deployment = seams.deployment
    watcher = Watcher(
        seams.chain,
        seams.outbox,
        deployment.exchange,
        deployment.deploy_block,
        settings.confirmations,
    )
    for token in deployment.tokens:
        watcher.watch_token(token.address)
    return watcher


def _reconciler(
    seams: Seams, settler: Settler, trading: Trading, unbooked: Unbooked, standings: Standings
) -> Reconciler:
    return Reconciler(
        seams.chain,
        seams.outbox,
        settler.queue,
        settler.reversals,
        trading.catalog,
        seams.deployment,
        lambda: trading.sequencer.machine,
        unbooked.pips,
        standings,
    )


def _merchants(
    seams: Seams, settings: ExchangeSettings, exchange: Exchange, desk: SettlementDesk
) -> Merchants:
    return Merchants(
        database=seams.database,
        exchange=exchange,
        settlement=desk,
        keyring=seams.keyring,
        egress=seams.egress,
        clock=seams.log.now_ns,
        entropy=seams.entropy,
        jitter=seams.jitter,
        confirmations_required=settings.confirmations,
        price_terms=settings.prices,
        people_terms=PeopleTerms(seams.sealing, settings.sign_up),
        rate_terms=settings.rates,
    )
