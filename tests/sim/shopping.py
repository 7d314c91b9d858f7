"""What do shops and their customers do in the simulator?"""

from random import Random
from typing import TYPE_CHECKING, Final

from merchants.records.rejection import Rejection
from merchants.sales.asked import InvoiceRequest
from merchants.service import InvoiceCreated, StoreOpened
from merchants.stores.stores import StoreRequest
from merchants.webhooks.endpoints import EndpointRequest
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import address_of_secret, grant_digest, sign
from tests.sim.ack_oracle import Violated
from tests.sim.venue import NS, Venue

if TYPE_CHECKING:
    from tests.sim.world import World

WAIT_NS_MAX: Final = 8 * NS
INVOICES_MAX: Final = 12
CUSTOMER: Final = address_of_secret(b"\x05" * 32)


class Shopping:
    """The shops' side of the world."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.stores: list[tuple[bytes, StoreOpened]] = []
        """(secret of the wallet, what the shop was told); only what was answered."""
        self.approved: set[str] = set()
        self.invoices: list[InvoiceCreated] = []
        self._wallets = 0

    @property
    def _dice(self) -> Random:
        return self.world.dice

    def begin(self) -> None:
        """Start the shops for one life, and hold what they were told against what is kept."""
        loop, venue = self.world.loop, self.world.venue
        assert loop is not None and venue is not None
        for created in self.invoices:
            if venue.parts.merchants.reader.invoice(created.invoice.id) is None:
                raise Violated(f"invoice {created.invoice.id} was answered and is gone")

        def turn() -> None:
            if self.world.dead or loop is not self.world.loop:
                return
            self.world.shops.fails_ppm = self.world.options.endpoint_fails_ppm
            self.world.spawn(self._act(venue))
            loop.call_later(self._dice.randrange(1, WAIT_NS_MAX) / NS, turn)

        if self.world.options.shops and not self.world.healing:
            turn()

    async def _act(self, venue: Venue) -> None:
        if len(self.stores) < self.world.options.shops:
            self._open_store(venue)
        elif len(self.approved) < len(self.stores):
            self._approve(venue)
        elif self._dice.random() < 0.4 and len(self.invoices) < INVOICES_MAX:
            self._ask_for_money(venue)
        elif self.invoices:
            self._pay(self._dice.choice(self.invoices[-4:]))

    def _open_store(self, venue: Venue) -> None:
        self._wallets += 1
        secret = (2000 + self._wallets).to_bytes(32, "big")
        request = StoreRequest(
            address_of_secret(secret),
            "USD",
            ("TOKEN",),
            floor_price=1,
        )
        endpoint = EndpointRequest("https://shop.example/hook")
        created = venue.parts.merchants.create_store(request, endpoint)
        if isinstance(created, StoreOpened):
            self.stores.append((secret, created))

    def _approve(self, venue: Venue) -> None:
        for secret, store in self.stores:
            if store.store_id not in self.approved:
                domain = self.world.blocks.machine.terms.domain
                ((grant_id, grant),) = store.grants
                signature = sign(grant_digest(domain, grant), secret)
                grants = venue.parts.merchants.grants
                approved = grants.approve(store.store_id, grant_id, signature)
                assert not isinstance(approved, Rejection), approved
                self.approved.add(store.store_id)
                return

    def _ask_for_money(self, venue: Venue) -> None:
        _, store = self._dice.choice(self.stores)
        ways = self._dice.choice((("TOKEN",), ("USD", "TOKEN"), ("USD",)))
        request = InvoiceRequest(str(self._dice.choice((1, 5, 20))), tokens=ways)
        key = f"order {len(self.invoices)}" if self._dice.random() < 0.5 else None
        created = venue.parts.merchants.create_invoice(store.store_id, request, key)
        if isinstance(created, InvoiceCreated):
            self.world.count("invoices")
            self.invoices.append(created)
        else:
            self.world.count(f"invoice {created.outcome.name}")

    def _pay(self, created: InvoiceCreated) -> None:
        """Pay by plain transfer: the sum, a part of it, more than it, in any of its options."""
        world, invoice = self.world, created.invoice
        tokens = dict(zip(("USD", "TOKEN"), world.blocks.machine.terms.tokens, strict=True))
        option = self._dice.choice(invoice.options)
        token = tokens[option.token].address
        raw = int(option.amount_due_raw)
        raw = self._dice.choice((raw, raw, raw, raw // 2, raw // 3, raw + raw // 4))
        to = bytes.fromhex(invoice.deposit_address.removeprefix("0x"))
        for name, holder in (("mint", CUSTOMER), ("transfer", to)):
            call = encode_call(name, holder, raw, contract="TestToken")
            world.blocks.act(CUSTOMER, token, call)
        world.count("payments")
