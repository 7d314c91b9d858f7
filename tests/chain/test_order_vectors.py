"""Do Python, Solidity, JavaScript and eth-account read the same orders alike, malformed ones too?

``tests/vectors/orders.json`` has every legal combination of flags and each way to be none.
"""

import json
import shutil
import subprocess
from typing import Any, Final

import pytest

from engine.core.validate import bad_terms
from engine.log_entries import CommandRow
from settlement.audit.signatures import order_faults
from settlement.batches.encode import MatchedTrade, order_tuple
from settlement.contracts import build_artifacts
from settlement.orders.nonces import Rejection
from settlement.orders.terms import MEANINGS, place_row
from settlement.protocol import eip712
from settlement.protocol.eip712 import Domain
from settlement.protocol.evidence import KNOWN_BITS, OrderBits, SignedOrder
from tests.admission import fixtures as admission
from tests.chain.contract_rig import Refused, Rig, chain, fixtures, wallet
from tests.vectors import makeorders

__all__ = ["chain", "fixtures"]

VECTORS: Final[dict[str, Any]] = json.loads(makeorders.FILE.read_text(encoding="utf-8"))
HEAD: Final = VECTORS["head"]
DOMAIN: Final = Domain(HEAD["domain"]["chainId"], bytes([0xEE] * 20))
NUMBERS: Final = {bytes.fromhex(text[2:]): n for text, n in HEAD["tokenNumbers"].items()}
SCRIPTS: Final = build_artifacts.HERE / "test" / "wallet"
LIBRARIES: Final = {"ethers": "sign.mjs", "viem": "sign_viem.mjs"}
JUDGED: Final = [*VECTORS["legal"], *VECTORS["malformed"]]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def order_of(vector: dict[str, Any]) -> SignedOrder:
    """Return a vector's order as it would stand in the journal, whoever has signed it."""
    said = vector["order"]
    unsigned = SignedOrder(
        account=unhex(said["account"]),
        nonce=int(said["nonce"]),
        flags=said["flags"],
        lane=said["lane"],
        base=unhex(said["base"]),
        quote=unhex(said["quote"]),
        base_amount=int(said["baseAmount"]),
        quote_amount=int(said["quoteAmount"]),
        trigger_or_display=int(said["triggerOrDisplay"]),
        expiry=said["expiry"],
        max_fee_ppm=said["maxFeePpm"],
        ref=unhex(said["ref"]),
        signature=unhex(vector["signature"]),
        signer=b"",
        digest=b"",
    )
    digest = eip712.order_digest(DOMAIN, unsigned)
    signer = eip712.recover(digest, unsigned.signature) or b""
    fields = {name: getattr(unsigned, name) for name in unsigned.__struct_fields__}
    return SignedOrder(**fields | {"digest": digest, "signer": signer})


def named(vectors: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("vector", vectors, ids=[one["name"] for one in vectors])


def test_the_file_is_what_eth_account_says_and_has_every_legal_order() -> None:
    assert makeorders.FILE.read_text(encoding="utf-8") == makeorders.written()
    flags = {vector["order"]["flags"] for vector in VECTORS["legal"]}
    meant = {bits for bits, meaning in enumerate(MEANINGS) if not isinstance(meaning, str)}
    assert flags == meant and len(flags) == len(VECTORS["legal"]) == 160


@named(JUDGED)
def test_python_signs_and_packs_it_alike(vector: dict[str, Any]) -> None:
    order = order_of(vector)
    assert order.digest == unhex(vector["digest"])
    assert order.signer == order.account
    assert eip712.sign(order.digest, unhex(HEAD["secret"])) == order.signature
    terms, place, *_ = order_tuple(order, NUMBERS | {bytes([0x33] * 20): 2})
    assert terms == int(vector["terms"], 16) and place == int(vector["place"], 16)


@named(JUDGED)
def test_admission_gives_the_engine_what_was_signed_or_says_why_not(vector: dict[str, Any]) -> None:
    driver, order = admission.Driver(), order_of(vector)
    judged = driver.admit(order)
    if isinstance(judged, Rejection):
        assert judged.outcome.name == vector["refused"], judged
        return
    assert vector["refused"] is None
    assert {name: int(judged[name]) for name in vector["row"]} == vector["row"]
    events = driver.commit(judged, order)
    assert len(events) > 0, "the engine takes it"
    row = CommandRow(*judged.tolist())
    assert list(order_faults(driver.catalog, DOMAIN, row, order)) == []


def test_what_admission_refuses_is_refused_by_the_auditor_too() -> None:
    """Two authors and the engine agree about each number that flags can be."""
    driver = admission.Driver()
    market = driver.catalog.markets[0]
    for bits in range(KNOWN_BITS + 1):
        special = 0
        if bits & OrderBits.STOP:
            special = market.quote_pips(10, 260)
        elif bits & OrderBits.ICEBERG:
            special = market.base_pips(3)
        lane = 0 if bits & OrderBits.SINGLE_SHOT else admission.LANE
        order = admission.ALICE.order(flags=bits, lane=lane, trigger_or_display=special)
        if isinstance(MEANINGS[bits], str):
            row = CommandRow(*[0] * len(CommandRow._fields))
            faults = list(order_faults(driver.catalog, DOMAIN, row, order))
            assert any("the flags" in fault for fault in faults), (bits, MEANINGS[bits])
            continue
        row = CommandRow(*place_row(order, market, 0).tolist())
        assert list(order_faults(driver.catalog, DOMAIN, row, order)) == [], bits
        assert not bad_terms(row.side, row.tif, row.flags, row.order_id), bits


@named(VECTORS["forged"])
def test_what_the_account_did_not_sign_is_nobodys(vector: dict[str, Any]) -> None:
    order = order_of(vector)
    assert order.signer != order.account


@pytest.mark.node
@pytest.mark.skipif(
    shutil.which("node") is None
    or not all((build_artifacts.HERE / "node_modules" / name).is_dir() for name in LIBRARIES),
    reason="needs node, ethers and viem from npm (see settlement/contracts/package.json)",
)
@pytest.mark.parametrize("script", LIBRARIES.values(), ids=LIBRARIES)
def test_a_javascript_wallet_signs_it_alike(script: str) -> None:
    inner = HEAD["type"][HEAD["type"].index("(") + 1 : -1].split(",")
    fields = [dict(zip(("type", "name"), one.split(" "), strict=True)) for one in inner]
    asked = [
        {
            "secret": HEAD["secret"],
            "domain": HEAD["domain"],
            "types": {"Order": fields},
            "value": vector["order"],
        }
        for vector in JUDGED
    ]
    run = subprocess.run(
        ["node", str(SCRIPTS / script)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    for vector, (digest, signature, _) in zip(JUDGED, json.loads(run.stdout), strict=True):
        assert (digest, signature) == (vector["digest"], vector["signature"]), vector["name"]


def test_the_contract_unpacks_and_judges_it_alike(fixtures: Rig) -> None:
    """It recovers the signer from what it has unpacked: another reading would be nobody's order."""
    owner, other = wallet(1), wallet(2)
    for someone in (owner, other):
        fixtures.deposit(someone, fixtures.quote, 10**12)
        fixtures.deposit(someone, fixtures.base, 10**18)
    judged = [one for one in JUDGED if one["refused"] is None or one["on_chain"]]
    refusals = set()
    for nonce, vector in enumerate(judged, 1):
        trade = traded(fixtures, order_of(vector), nonce)
        batch = fixtures.seal([trade])
        if vector["refused"] is None:
            fixtures.settle(batch)
            continue
        with pytest.raises(Refused) as refused:
            fixtures.settle(batch)
        assert refused.value.error == vector["on_chain"], vector["name"]
        refusals.add(refused.value.error)
    assert refusals == {"UnknownFlags", "ContradictoryFlags", "NotALane"}


def traded(rig: Rig, order: SignedOrder, nonce: int) -> MatchedTrade:
    """Return all of an order, signed for this chain, against a plain one of the other side."""
    terms = {name: getattr(order, name) for name in ("base_amount", "quote_amount")}
    special = order.trigger_or_display
    mine = rig.order(
        wallet(1),
        nonce=nonce,
        flags=order.flags,
        lane=order.lane,
        trigger_or_display=special,
        **terms,
    )
    flags = int(OrderBits.SELL & ~order.flags)
    theirs = rig.order(wallet(2), nonce=nonce, flags=flags, lane=0x9000, **terms)
    buy, sell = (theirs, mine) if order.flags & OrderBits.SELL else (mine, theirs)
    return MatchedTrade(1, 1, 0, buy, sell, order.base_amount, order.quote_amount, 0, 0)
