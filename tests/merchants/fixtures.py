"""A whole venue in one process, without a disk for the journal and without a chain.

``World`` is what survives a kill: the journal, the chain, the clock, the shop. ``Venue`` is one
life of the server on it: the exchange as it is assembled for the product over the reference engine
and a journal in memory, the real merchants' service on a real SQLite file or Postgres server. The
settlement port is the fixtures's own; what crosses it, the database or the journal passes
``cross``, where a test may kill the venue.
"""

import asyncio
import random
from collections import Counter
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from sqlalchemy import event

from engine.commands import Kind, command, list_market
from engine.events import EventKind
from engine.journal import Journal, SnapshotFiles
from engine.reference import Engine
from engine.sequencer.subscription import Subscription
from engine.types import MONEY_MAX, Limits, OrderFlag, Side
from gateway.node.assembly import LogSeams, Parts, assemble_trading, subscribe, subscriptions_of
from merchants.people.people import PeopleTerms
from merchants.records import rejection
from merchants.records.database import open_database
from merchants.sales.asked import InvoiceRequest
from merchants.sales.reference_prices import PriceTerms
from merchants.service import Merchants
from merchants.stores.keyring import FileKeyring
from merchants.stores.stores import StoreRequest
from merchants.webhooks.egress import Answer, HttpEgress
from merchants.webhooks.endpoints import EndpointRequest
from settlement.audit.standings import Standings
from settlement.batches.sealer import EXIT_DELAY_S
from settlement.orders.admission import EXPIRY_MAX_S
from settlement.orders.catalog import Catalog
from settlement.orders.nonces import Rejection
from settlement.orders.withdrawals import Withdrawals
from settlement.outbox.actions import WithdrawalState
from settlement.ports import TradeState, Transfer
from settlement.protocol.eip712 import (
    Domain,
    address_of_secret,
    grant_digest,
    keccak256,
    order_digest,
    sign,
)
from settlement.protocol.evidence import (
    AccountOpened,
    DepositEvidence,
    MarketListing,
    OrderBits,
    SignedOrder,
    TokenListing,
    TradeBusted,
    decode,
    encode,
)
from tests.at_once import AtOnce
from tests.journal.fixtures import MemoryStorage
from tests.merchants.lying import lying_in
from tests.merchants.reorganising import swept_away
from tests.statements import knowing_statements

NS = 10**9
LIMITS = Limits(tokens=4, markets=4, accounts=64, orders=4096)
ROOM_STEP = 4096
START_S = 1_800_000_000
DOMAIN = Domain(31337, bytes([7]) * 20)
TOKEN, USD = b"\xaa" * 20, b"\xbb" * 20
MAKER_SECRET, MERCHANT_SECRET = b"\x01" * 32, b"\x02" * 32
MAKER, MERCHANT = address_of_secret(MAKER_SECRET), address_of_secret(MERCHANT_SECRET)
CUSTOMER = b"\xcc" * 20
LOT, TICK, FEE_PPM = 100_000, 1000, 2500
"""A lot is 0.001 TOKEN; a tick is a cent a TOKEN, so a lot at 2000.00 costs 2 USD."""
DOLLAR = 10**8
BIDS = ((200_000, 50), (199_900, 500))
ASK = (200_100, 1000)
PRICES = PriceTerms(owners_min=1, references={"TOKEN-USD": 2000 * DOLLAR})
"""One maker is the whole market here; what it takes otherwise is for the tests of prices."""
AGE_S = PRICES.age_ns // NS
VAULT = b"\xdd" * 20
CONFIRMATIONS = 3


JUDGE = HttpEgress(loopback_allowed=True)
"""Who says where webhooks may go; making one reads all certificates of this machine."""
TRADES_MAX = 2**40
"""More trades than there will be."""


def database_of(directory):
    """Return where the shops' rows are in a test: see ``conftest.py`` there."""
    server = directory / "merchants.url"
    return server.read_text() if server.exists() else directory / "merchants.sqlite"


@cache
def empty_database():
    """Return the file of a database in which nothing has happened yet, as the product makes it."""
    with TemporaryDirectory() as directory:
        place = Path(directory, "merchants.sqlite")
        open_database(place).dispose()
        return place.read_bytes()


def lay_out(place):
    """Put an empty database where none is: making its tables anew took two thirds of a world."""
    if isinstance(place, Path) and not place.exists():
        place.write_bytes(empty_database())


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing in the product may catch it."""


class World:
    """What survives."""

    def __init__(
        self, directory, start_ns=START_S * NS, prices=PRICES, least_pips=0, machine=Engine
    ):
        self.directory = directory
        lay_out(database_of(directory))
        self._opened = None  # What the last life had opened.
        self.machine = machine
        self.prices = prices
        self.least_pips = least_pips
        self.people_terms = PeopleTerms(b"sealing secret of the rig", sign_up=False)
        self.least_withdrawals = {"TOKEN": 1, "USD": 1}
        self.now_ns = start_ns
        self.storage = MemoryStorage()
        self.snapshots = MemoryStorage()
        self.entries = []  # (command row, attachment): what is in the journal
        self.kill_at = None
        self.crossings = 0
        self.dice = random.Random(7)
        self.newest_block = 0
        self.standings = Standings()
        self.transfers = []  # what the chain's logs say
        self.sweeps_wanted = {}
        self.is_chain_away = False
        self.swept = Counter()
        self.sweeps = []  # (transfer away, account, ref, pips): what the chain carried out
        self.lost = set()  # Transactions that a reorganisation has taken away.
        self.replaced = set()  # (transaction, pips): what it brought in a block that is gone.
        self.shallow = set()  # Transactions whose block is not deep, though they are booked.
        self.journaled = set()  # transactions whose deposits are in the journal
        self.grants = {}
        self.grant_calls = 0
        self.vouched = set()  # (wallet, digest, signature) that contracts stand behind.
        self.revocations = []
        self.trade_words = {}
        self.withdrawal_words = {}  # How far payouts are on chain, by command; None for all.
        self.received = []  # (headers, body) at the shop
        self.endpoint = lambda url: 200
        self.maker_nonce = 0
        venue = Venue(self)
        venue.list_all()
        venue.fund(MAKER, TOKEN, 10**6 * DOLLAR)
        venue.fund(MAKER, USD, 10**7 * DOLLAR)
        for ticks, lots in BIDS:
            venue.quote(Side.BUY, ticks, lots)
        venue.quote(Side.SELL, *ASK)
        self.venue = venue
        self.pass_time(AGE_S)

    def clock(self):
        return self.now_ns

    def pass_time(self, seconds):
        self.now_ns += seconds * NS

    def cross(self):
        """Count one step over a seam, and die there if the test says so."""
        self.crossings += 1
        if self.crossings == self.kill_at:
            raise Killed

    def failed(self, error):
        raise error

    def consume(self, batch):
        """Take one batch, ahead of everybody else: it is in the journal."""
        self.entries += zip(batch.commands, batch.attachments, strict=True)
        for evidence in map(decode, batch.attachments):
            if isinstance(evidence, DepositEvidence):
                self.journaled.add(evidence.tx_hash)

    def opened_database(self):
        """Return the database as a life finds it: opened by the product, its connections new."""
        if self._opened is not None:
            self._opened.dispose()
        self._opened = knowing_statements(open_database(database_of(self.directory)))
        return self._opened

    def restart(self):
        """Begin a new life on what survives."""
        self.venue = Venue(self)

    def transfer(self, to, raw, token=TOKEN, confirmations=0, sender=CUSTOMER):
        """Let somebody send ``raw`` units; the watcher reports it later."""
        count = len(self.transfers) + 1
        self.transfers.append(
            Transfer(
                token=token,
                sender=sender,
                to=to,
                raw_amount=raw,
                tx_hash=keccak256(b"transfer %d" % count),
                log_index=0,
                block_number=100 + count,
                block_time_s=self.now_ns // NS,
                confirmations=confirmations,
            )
        )
        return self.transfers[-1]

    def confirm(self, confirmations):
        """Let every transfer have this many confirmations."""
        self.transfers = [t._replace(confirmations=confirmations) for t in self.transfers]

    def trades_are(self, word):
        """Let all trades be this far on their way to the chain, but for those that are busted."""
        busted = {trade for trade, said in self.trade_words.items() if said == "busted"}
        self.trade_words = {None: word, **dict.fromkeys(busted, "busted")}
        self.venue.merchants.settlement_changed(1, TRADES_MAX, self.venue.trade_state(TRADES_MAX))


class Venue:
    """One life of the server. It implements the settlement port and the egress."""

    def __init__(self, world):
        self.world = world
        world.entries.clear()
        self.trading = assemble_trading(
            LogSeams(world.storage, SnapshotFiles(world.snapshots), world.clock, world.failed),
            Parts(
                machine=world.machine,
                journal=partial(Journal, room_step=ROOM_STEP),
                pipeline=partial(AtOnce, cross=world.cross),
            ),
            LIMITS,
            Catalog(),
            DOMAIN,
            Withdrawals(
                frozenset({DOMAIN.contract, VAULT}), world.least_withdrawals, self, EXIT_DELAY_S
            ),
        )
        self.catalog, self.keys, self.admission = self.trading[:3]
        self.exchange, self.pipeline = self.trading.exchange, self.trading.pipeline
        self.unread = []  # What merchants have not read of the log yet.
        self.reads_late = False
        self.asked = 0  # How many times settlement was asked for a trade.
        self.unwatched = []  # addresses that merchants do not follow any more
        for grant in world.grants.values():
            self.keys.granted(grant)
        self.database = world.opened_database()
        self._wrote = set()
        event.listen(self.database, "before_cursor_execute", self._before_statement)
        event.listen(self.database, "commit", self._before_commit)
        self.merchants = Merchants(
            database=self.database,
            exchange=self.exchange,
            settlement=self,
            keyring=FileKeyring(world.directory / "keys"),
            egress=self,
            clock=world.clock,
            entropy=world.dice.randbytes,
            jitter=random.Random(1),
            confirmations_required=CONFIRMATIONS,
            price_terms=world.prices,
            people_terms=world.people_terms,
        )
        subscribe(self.pipeline, (Subscription("journal", world),))
        readers = subscriptions_of(self.trading, merchants=self.merchants)
        ourselves = Subscription("merchants", self, is_inline=False)
        subscribe(self.pipeline, (ourselves if r.name == "merchants" else r for r in readers))
        for _ in self.pipeline.recover():
            pass

    @property
    def engine(self):
        return self.trading.sequencer.machine

    def _before_commit(self, connection):
        """A commit is a seam when it has something to write."""
        driver = id(connection.connection.dbapi_connection)
        if driver in self._wrote:
            self._wrote.discard(driver)
            self.world.cross()

    def _before_statement(self, connection, cursor, statement, *rest):
        driver = id(connection.connection.dbapi_connection)
        word = statement.split(" ", 1)[0]
        if word in ("INSERT", "UPDATE", "DELETE"):
            self._wrote.add(driver)
        elif word.rstrip(";") in ("BEGIN", "ROLLBACK"):
            self._wrote.discard(driver)

    # -- the journal -------------------------------------------------------------------------

    def submit(self, row, attachment=None):
        """Have one command carried out; return its events."""
        return self.pipeline.carry_out(row, encode(attachment)).events

    @property
    def file_name(self):
        return self.merchants.file_name

    def place(self):
        return self.merchants.place()

    def keep_place(self, place):
        self.merchants.keep_place(place)

    def consume(self, batch):
        """Pass a batch on to the merchants, at once or when they read."""
        self.unread.append(batch)
        if not self.reads_late:
            self.read()

    def read(self):
        """Let merchants read what is in the log: they are not waited for by who is answered."""
        for batch in self.unread:
            self.merchants.consume(batch)
        self.unread.clear()

    def list_all(self):
        self.submit(command(Kind.LIST_TOKEN, token=0), TokenListing("TOKEN", TOKEN, 18, 10**10))
        self.submit(command(Kind.LIST_TOKEN, token=1), TokenListing("USD", USD, 6, -100))
        self.submit(
            list_market(
                0,
                0,
                1,
                lot_pips=LOT,
                tick_pips=TICK,
                maker_fee_ppm=0,
                taker_fee_ppm=FEE_PPM,
                least_notional_pips=self.world.least_pips,
            ),
            MarketListing("TOKEN-USD"),
        )

    def fund(self, address, token, pips, ref=bytes(32), tx_hash=None):
        number = self.catalog.account_number(address)
        if number is None:
            number = self.catalog.account_count
            self.submit(command(Kind.OPEN_ACCOUNT, account=number), AccountOpened(address))
        row = command(
            Kind.DEPOSIT,
            account=number,
            token=self.catalog.token_by_address(token).number,
            amount=pips,
        )
        tx_hash = tx_hash or keccak256(b"deposit %d" % len(self.world.entries))
        return self.submit(row, DepositEvidence(tx_hash, 1, 1, ref))

    def quote(self, side, ticks, lots, secret=MAKER_SECRET):
        """Rest one order of the maker, or of whose secret it is, signed like everybody's; return
        its id."""
        self.world.maker_nonce += 1
        account = address_of_secret(secret)
        unsigned = SignedOrder(
            account=account,
            nonce=1,
            flags=int(OrderBits.SELL) if side == Side.SELL else 0,
            lane=0x8000 + self.world.maker_nonce,
            base=TOKEN,
            quote=USD,
            base_amount=lots * LOT,
            quote_amount=lots * ticks * TICK,
            trigger_or_display=0,
            expiry=self.world.now_ns // NS + EXPIRY_MAX_S,
            max_fee_ppm=10_000,
            ref=bytes(32),
            signature=b"",
            signer=account,
            digest=b"",
        )
        digest = order_digest(DOMAIN, unsigned)
        order = msgspec.structs.replace(unsigned, digest=digest, signature=sign(digest, secret))
        row = self.admission.admit(order, self.world.now_ns)
        assert not isinstance(row, Rejection), row
        self.submit(row, order)
        return self.admission.first(digest).order_id

    def cancel(self, secret, order_id):
        """Take an order off the book, for its owner."""
        number = self.catalog.account_number(address_of_secret(secret))
        self.submit(command(Kind.CANCEL, account=number, order_id=order_id))

    def unpaid(self, account, token):
        """Nobody follows withdrawals to the chain here: each is as good as paid."""
        return

    # -- SettlementPort ----------------------------------------------------------------------

    def trade_state(self, trade_id):
        self.asked += 1
        words = self.world.trade_words
        word = words.get(trade_id, words.get(None, "matched"))
        if word in ("matched", "busted"):
            return TradeState(word)
        if word == "batched":
            return TradeState("batched", 9)
        return TradeState(word, 9, keccak256(b"batch 9"))

    def enqueue_sweeps(self, places):
        for place in places:
            self._want_sweep(*place)

    def lying(self, address, tokens):
        return lying_in(self.world, self.catalog, address, tokens)

    def _want_sweep(self, account, ref, token):
        self.world.cross()
        self.world.sweeps_wanted[account, ref, token] = self.deposit_address(account, ref)
        self.world.cross()

    def enqueue_grant(self, grant, signature):
        self.world.cross()
        assert grant_digest(DOMAIN, grant)
        self.world.grant_calls += 1
        self.world.grants[grant.nonce] = grant
        self.keys.granted(grant)
        self.world.cross()

    def enqueue_revocation(self, revocation, signature):
        self.world.revocations.append((revocation, signature))
        self.keys.revoked(revocation.account, revocation.key)
        return True

    def deposit_address(self, account, ref):
        return keccak256(account + ref)[12:]

    def unwatch(self, address):
        self.unwatched.append(address)

    def receipts(self, account, ref, trade_ids):
        return []

    def vouches(self, wallet, digest, signature):
        """Contracts answer as the test says: what each takes, by wallet, digest and signature."""
        return (wallet, digest, signature) in self.world.vouched

    def newest_block(self):
        return self.world.newest_block

    def compared(self, account):
        """As the test says."""
        return self.world.standings.of(account)

    def withdrawal_states(self, sequences):
        """Each is as far as the test says; the vault pays once a withdrawal, as it is debited."""
        words = self.world.withdrawal_words
        found = {number: words.get(number, words.get(None)) for number in sequences}
        return {
            number: WithdrawalState(word, keccak256(b"payout %d" % number), None)
            for number, word in found.items()
            if word is not None
        }

    def settle_sweeps(self):
        """Do what the settler and the chain do with the sweeps asked for, each unit once."""
        for (account, ref, token), address in self.world.sweeps_wanted.items():
            lies = sum(
                t.raw_amount
                for t in self.world.transfers
                if t.to == address and t.token == token and t.confirmations >= CONFIRMATIONS
                if t.tx_hash not in self.world.lost
            )
            pips = self.catalog.token_by_address(token).pips_of(lies)
            done = self.world.swept[address, token] - swept_away(self.world, address, token)
            if pips > done:
                self.world.swept[address, token] += pips - done
                raw = self.catalog.token_by_address(token).raw_of(pips - done)
                left = self.world.transfer(VAULT, raw, token, CONFIRMATIONS, sender=address)
                self.world.sweeps.append((left, account, ref, pips - done))
        for left, account, ref, pips in self.world.sweeps:
            if left.tx_hash not in self.world.journaled and pips <= MONEY_MAX:  # Else it stays due.
                self.merchants.payments_seen([left])
                self.fund(account, left.token, pips, ref, left.tx_hash)

    # -- Egress ------------------------------------------------------------------------------

    def rejection(self, url):
        return JUDGE.rejection(url)

    async def post(self, url, headers, body):
        self.world.cross()
        status = self.world.endpoint(url)
        if status:
            self.world.received.append((headers, body))
        self.world.cross()
        return Answer(status)

    # -- what people do ----------------------------------------------------------------------

    def open_store(self, **fields):
        url = fields.pop("webhook_url", "https://shop.example/hook")
        request = StoreRequest(MERCHANT, "USD", ("TOKEN",))._replace(**fields)
        return self.merchants.create_store(request, EndpointRequest(url) if url else None)

    def approved_store(self, **fields):
        store = self.open_store(**fields)
        for made in store.grants:
            assert self.approve(store.store_id, made).relayed
        return store

    def approve(self, store_id, made):
        """Let the merchant's wallet sign a grant that it was asked for."""
        signature = sign(grant_digest(DOMAIN, made.grant), MERCHANT_SECRET)
        return self.merchants.grants.approve(store_id, made.grant_id, signature)

    def invoice(self, store, amount="50", token="TOKEN", key=None, **fields):
        request = InvoiceRequest(amount, tokens=(token,))._replace(**fields)
        created = self.merchants.create_invoice(store.store_id, request, key)
        assert not isinstance(created, rejection.Rejection), created
        return created.invoice

    def watch(self):
        """Report every transfer, as the watcher does again and again."""
        there = [one for one in self.world.transfers if one.tx_hash not in self.world.lost]
        self.merchants.payments_seen(there)

    def bust(self, fill):
        """Undo one sale to the maker in the ledger, as the settler's command does."""
        base_pips = pips_of_decimal(fill.amount)
        quote_pips, fee_pips = pips_of_decimal(fill.proceeds), pips_of_decimal(fill.fee)
        row = command(
            Kind.BUST,
            market=0,
            account=self.catalog.account_number(MAKER),
            fee_cap_ppm=self.catalog.account_number(MERCHANT),
            price_ticks=base_pips,
            amount=quote_pips,
            expiry_ns=fee_pips,
        )
        events = self.submit(row, TradeBusted(fill.trade_id, "InsufficientBalance(0x55, 1, 0, 9)"))
        assert events[0].kind == EventKind.TRADE_BUSTED, events
        self.world.trade_words[fill.trade_id] = "busted"

    def tick(self):
        """Let everything that is due happen once."""

        async def once():
            await self.merchants.step()
            await self.merchants.deliveries.drain()

        asyncio.run(once())

    def types(self, store):
        """Return the types of all events so far."""
        events = self.merchants.reader.events_after(store.store_id, 0)
        return [msgspec.json.decode(row.body)["type"] for row in events]

    def pips(self, address, token):
        """Return everything an account has."""
        return sum(self.exchange.balance(address, token))


def pips_of_decimal(text):
    """Return how many pips a decimal of eight places is."""
    whole, _, places = text.partition(".")
    return int(whole) * 10**8 + int(places.ljust(8, "0"))


def address_bytes(text):
    return bytes.fromhex(text[2:])


def option(invoice, token=None):
    """Return how an invoice may be paid in ``token``; its only way, if none is said."""
    return sole(one for one in invoice.options if token in (None, one.token))


def due_raw(invoice, token=None):
    return int(option(invoice, token).amount_due_raw)


def sole(items):
    (item,) = items
    return item


def lots_in_journal(world):
    """Return the lots of every single-shot PLACE in the journal."""
    return [
        int(row["amount"])
        for row, _ in world.entries
        if row["kind"] == Kind.PLACE and int(row["flags"]) & OrderFlag.SINGLE_SHOT
    ]
