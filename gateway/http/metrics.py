"""What do we count?

One registry a gateway, so that two gateways in one process never share a number.
"""

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

from engine.sequencer.pipeline import Turn
from engine.types import PIPS_PER_TOKEN
from settlement.orders.catalog import Market
from settlement.settler import Figures

Levels = list[tuple[int, int]]

METRICS_MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_ACK_BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)


NS: Final = 10**9

STAGES: Final = ("verify", "queue", "journal", "match", "publish")
"""Of an order: its signature, then as in ``engine.sequencer.pipeline.Turn``."""


class SettlementMetrics:
    """How far settlement is, and whether vault and ledger agree."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self.lag = gauge(
            "tillbook_settlement_lag_seconds", "Age of the oldest trade that no final batch carries"
        )
        self.pending = gauge(
            "tillbook_settlement_pending_fills", "Trades that no final batch carries"
        )
        self.batch_gas = gauge(
            "tillbook_settlement_batch_gas", "Gas that the newest batch in a block has used"
        )
        self.reorganisations = gauge(
            "tillbook_chain_reorganisations",
            "How often blocks that were read were gone, since the start",
        )
        self.head_age = gauge(
            "tillbook_chain_head_age_seconds", "Age of the newest block that was read"
        )
        self.actions = gauge("tillbook_settlement_actions", "Actions by state", ["state"])
        self.gas = gauge("tillbook_settlement_gas", "Gas that mined actions have used")
        self.halted = gauge("tillbook_settlement_halted", "1 while nothing is sent")
        self.troubles = gauge(
            "tillbook_settlement_troubles",
            "Transactions that no node takes, batches too early or too large for the chain",
        )
        self.sweep_wei = gauge(
            "tillbook_settlement_sweep_wei", "What one sweep of a deposit address costs now"
        )
        self.reconciled_block = gauge(
            "tillbook_reconciled_block", "Last block at which vault and ledger were compared"
        )
        self.tokens_halted = gauge(
            "tillbook_tokens_halted", "Tokens halted because vault and ledger differ"
        )
        self.unbooked = gauge(
            "tillbook_unbooked_chain_events", "What happened on chain and the ledger cannot take"
        )
        self.surplus = gauge(
            "tillbook_custody_surplus_pips", "Pips in custody that nobody owns", ["token"]
        )

    def show(self, figures: Figures) -> None:
        """Show how settlement is."""
        self.lag.set(figures.lag_seconds)
        self.pending.set(figures.pending)
        self.batch_gas.set(figures.batch_gas)
        for state, count in figures.actions.items():
            self.actions.labels(state.value).set(count)
        self.gas.set(figures.gas_used)
        self.halted.set(figures.is_halted)
        self.troubles.set(figures.troubles)
        self.sweep_wei.set(figures.sweep_wei)


class Durations(Collector):
    """A histogram of seconds, for one thread: two of them are told of each order, and the library's
    own, which takes a lock for each of its figures, costs seven microseconds a time."""

    def __init__(self, name: str, meaning: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._meaning = meaning
        self._counts = [0] * (len(_ACK_BUCKETS) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(_ACK_BUCKETS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the figures in the library's form."""
        bounds = [*map(str, _ACK_BUCKETS), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
        yield HistogramMetricFamily(self._name, self._meaning, buckets, self._sum)


class Stages(Collector):
    """Histograms of seconds by stage of an order; as ``Durations``."""

    def __init__(self, name: str, meaning: str, registry: CollectorRegistry) -> None:
        self._name, self._meaning = name, meaning
        self._counts = {stage: [0] * (len(_ACK_BUCKETS) + 1) for stage in STAGES}
        self._sums = dict.fromkeys(STAGES, 0.0)
        registry.register(self)

    def observe(self, stage: str, seconds: float) -> None:
        """Count one."""
        self._counts[stage][bisect_left(_ACK_BUCKETS, seconds)] += 1
        self._sums[stage] += seconds

    def turn(self, turn: Turn) -> None:
        """Count what one batch took."""
        for stage, took_ns in zip(STAGES[1:], turn, strict=True):
            self.observe(stage, took_ns / NS)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the figures in the library's form."""
        family = HistogramMetricFamily(self._name, self._meaning, labels=["stage"])
        bounds = [*map(str, _ACK_BUCKETS), "+Inf"]
        for stage, counts in self._counts.items():
            buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
            family.add_metric([stage], buckets, self._sums[stage])
        yield family


class BookMetrics:
    """What stands in the books."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.depth = Gauge(
            "tillbook_book_depth",
            "Whole base tokens in the best levels of a side",
            ["market", "side"],
            registry=registry,
        )
        self.spread = Gauge(
            "tillbook_best_spread",
            "Best ask less best bid, quote tokens a base token; missing while a side is empty",
            ["market"],
            registry=registry,
        )

    def show(self, market: Market, bids: Levels, asks: Levels) -> None:
        """Show the best levels of one market, each (price_ticks, lots), best first."""
        for side, levels in (("bid", bids), ("ask", asks)):
            pips = sum(market.base_pips(lots) for _, lots in levels)
            self.depth.labels(market.symbol, side).set(pips / PIPS_PER_TOKEN)
        if bids and asks:
            pips = (asks[0][0] - bids[0][0]) * market.tick_size_pips
            self.spread.labels(market.symbol).set(pips / PIPS_PER_TOKEN)
        else:
            self.spread.labels(market.symbol)
            self.spread.remove(market.symbol)


class MachineMetrics:
    """How the process and its machine are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self.ready = gauge("tillbook_ready", "1 while work may be sent here")
        self.restrictions = gauge(
            "tillbook_restrictions", "What is not taken, or an operator must know: see /readyz"
        )
        self.draining = gauge("tillbook_draining", "1 while no new orders are taken")
        self.journal_sync = Durations(
            "tillbook_journal_sync_seconds", "Forcing the journal to disk", registry
        )
        self.loop_lag = Durations(
            "tillbook_event_loop_lag_seconds",
            "How late the event loop came to what was due, asked once a second",
            registry,
        )
        self.gc_pause = Durations(
            "tillbook_gc_pause_seconds", "How long Python's collector stopped us", registry
        )


class Metrics:
    """All counters of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            *("tillbook_http_requests_total", "HTTP requests by status", ["method", "status"]),
            registry=self.registry,
        )
        self.orders = Counter(
            "tillbook_orders_total", "Orders by outcome", ["outcome"], registry=self.registry
        )
        self.order_ack = Durations(
            "tillbook_order_ack_seconds", "From a recovered signature to the answer", self.registry
        )
        self.recovery = Durations(
            "tillbook_signature_seconds",
            "Queueing for and recovering one signature",
            self.registry,
        )
        self.stages = Stages(
            "tillbook_order_stage_seconds",
            "Parts of an order's way; all but verify once a batch, for who waited longest",
            self.registry,
        )
        self.books = BookMetrics(self.registry)
        self.machine = MachineMetrics(self.registry)
        self.outbox_bytes = self._gauge(
            "tillbook_ws_outbox_bytes", "Bytes that wait for slow readers of WebSockets"
        )
        self.connections = self._gauge("tillbook_ws_connections", "Open WebSockets")
        self.conflated = self._counter(
            "tillbook_ws_conflated_total", "Book diffs merged because a reader was slow"
        )
        self.slow_disconnects = self._counter(
            "tillbook_ws_slow_disconnects_total",
            "Connections given up because the reader was too slow",
        )
        self.rate_limited = self._counter(
            "tillbook_ratelimit_rejects_total", "Requests over a budget"
        )
        self.faults = self._counter("tillbook_internal_errors_total", "Faults of ours")
        self.hang_ups = self._counter(
            "tillbook_client_hang_ups_total", "Clients that left in the middle of something"
        )
        self.turned_away = self._counter(
            "tillbook_connections_refused_total", "Connections that there was no room for"
        )
        self.sequence = self._gauge("tillbook_sequence", "Last committed sequence seen here")
        self.trades = self._gauge("tillbook_last_trade_id", "Last trade id")

        self.settlement = SettlementMetrics(self.registry)
        self.poisoned = self._gauge("tillbook_poisoned_commands", "Commands passed over for ever")
        self.disk_low = self._gauge("tillbook_disk_low", "1 while no new orders are taken")
        self.snapshot_sequence = self._gauge("tillbook_snapshot_sequence", "Newest snapshot")
        self.snapshot_pause = self._gauge(
            "tillbook_snapshot_pause_seconds", "How long the last snapshot held matching up"
        )
        self.snapshot_failures = self._gauge(
            "tillbook_snapshot_failures", "Snapshots that could not be kept"
        )

    def recovered(self, seconds: float) -> None:
        """Count one signature."""
        self.recovery.observe(seconds)
        self.stages.observe("verify", seconds)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(name, meaning, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)

    def render(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self.registry)
