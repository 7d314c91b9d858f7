"""A store's API key is shown once, its wallet decides, and one Idempotency-Key is one invoice."""

import stat
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from engine.types import Outcome
from merchants.sales.asked import InvoiceRequest
from merchants.stores.keyring import FileKeyring
from merchants.stores.stores import StoreRequest
from merchants.stores.typed import typed_grant
from merchants.webhooks.endpoints import EndpointRequest
from settlement.protocol.eip712 import grant_digest, recover, sign
from tests.merchants.fixtures import (
    DOMAIN,
    MAKER_SECRET,
    MERCHANT,
    MERCHANT_SECRET,
    TOKEN,
    USD,
    VAULT,
    World,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_wallet_signs_what_we_verify(world):
    grant = world.venue.open_store(floor_price=5).grants[0].grant
    typed = msgspec.json.decode(msgspec.json.encode(typed_grant(DOMAIN, grant)))
    fields = typed["types"]["KeyGrant"]
    for name in (f["name"] for f in fields if f["type"].startswith("uint")):
        typed["message"][name] = int(typed["message"][name])
    signable = encode_typed_data(full_message=typed)
    signature = bytes(Account.sign_message(signable, MERCHANT_SECRET).signature)
    assert recover(grant_digest(DOMAIN, grant), signature) == MERCHANT


def test_only_the_wallet_approves(world):
    venue = world.venue
    store = venue.open_store()
    ((grant_id, grant),) = store.grants
    forged = sign(grant_digest(DOMAIN, grant), MAKER_SECRET)
    rejected = venue.merchants.grants.approve(store.store_id, grant_id, forged)
    assert rejected.outcome == Outcome.BAD_SIGNATURE
    assert rejected.detail["expected"] == "0x" + MERCHANT.hex()
    assert rejected.detail["digest"] == "0x" + grant_digest(DOMAIN, grant).hex()
    assert world.grants == {}

    signature = sign(grant_digest(DOMAIN, grant), MERCHANT_SECRET)
    for _ in range(2):
        assert venue.merchants.grants.approve(store.store_id, grant_id, signature).relayed
    assert world.grant_calls == 1
    unknown = venue.merchants.grants.approve("sto_none", grant_id, signature)
    assert unknown.outcome == Outcome.NOT_FOUND


@pytest.mark.parametrize("wallet", [bytes(20), DOMAIN.contract, VAULT, TOKEN, USD])
def test_a_wallet_that_nobody_can_sign_for_is_refused(world, wallet):
    rejected = world.venue.merchants.stores.create(StoreRequest(wallet, "USD"))
    assert rejected.outcome == Outcome.BAD_WALLET


def test_a_webhook_that_can_never_arrive_is_refused(world):
    for url in ("https://10.0.0.1/", "https://a:b@shop.example/"):
        request, endpoint = StoreRequest(MERCHANT, "USD"), EndpointRequest(url)
        refused = world.venue.merchants.create_store(request, endpoint)
        assert refused.outcome == Outcome.BAD_WEBHOOK_URL


def test_the_api_key_is_nowhere_on_disk_and_the_session_key_is_private(world, tmp_path):
    venue = world.venue
    store = venue.open_store()
    assert venue.merchants.stores.keys.authenticate(store.api_key).store.id == store.store_id
    for wrong in ("", "tbk_", store.api_key[:-1], store.api_key + "A"):
        assert venue.merchants.stores.keys.authenticate(wrong) is None
    (key,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    for path in tmp_path.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert store.api_key.encode() not in raw, path.name
            assert path == key or key.read_bytes() not in raw, path.name


def test_a_secret_is_never_written_over(tmp_path):
    keyring = FileKeyring(tmp_path)
    keyring.put(b"\x01" * 20, b"\x02" * 32)
    with pytest.raises(FileExistsError):
        keyring.put(b"\x01" * 20, b"\x03" * 32)
    assert keyring.get(b"\x01" * 20) == b"\x02" * 32
    with pytest.raises(KeyError):
        keyring.get(b"\x09" * 20)


def test_many_creates_at_once_with_one_key_make_one_invoice(world):
    merchants = world.venue.merchants
    store = world.venue.approved_store()
    request = InvoiceRequest("50", tokens=("TOKEN",), order_id="7")
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: merchants.create_invoice(store.store_id, request, "k"), range(24))
        )
    assert len({answer.invoice.id for answer in made}) == 1
    assert sorted(answer.replayed for answer in made) == [False] + [True] * 23
    assert len(merchants.reader.list_invoices(store.store_id)) == 1

    changed = merchants.create_invoice(store.store_id, request._replace(amount="51"), "k")
    assert changed.outcome == Outcome.IDEMPOTENCY_CONFLICT
    other = world.venue.approved_store()
    again = merchants.create_invoice(other.store_id, request, "k")
    assert not again.replayed, "another store's key is another key"


def test_a_refused_create_does_not_use_up_its_key(world):
    merchants, store = world.venue.merchants, world.venue.approved_store()
    dear = InvoiceRequest("999999", tokens=("TOKEN",))
    assert merchants.create_invoice(store.store_id, dear, "k").outcome == Outcome.NO_QUOTE
    cheap = InvoiceRequest("9", tokens=("TOKEN",))
    assert not merchants.create_invoice(store.store_id, cheap, "k").replayed
