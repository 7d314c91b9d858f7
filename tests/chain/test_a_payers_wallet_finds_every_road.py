"""What a payer's wallet is asked for brings the money to the account and reference, once."""

import pytest
from eth_account import Account
from web3 import Web3

from settlement.chain.deploy import DeploymentError
from settlement.chain.dev.devchain import start_devchain
from settlement.chain.token_roads import check_roads
from settlement.contracts import build_artifacts
from settlement.protocol.abi import encode_call
from settlement.protocol.payer_roads import (
    Approve,
    Bill,
    Fresh,
    Send,
    Sign,
    SigningDomain,
    TokenRoads,
    Vault,
    roads_of,
)
from tests.chain.contract_rig import ADMIN, Refused, Rig, wallet
from tests.chain.venue import deployed

pytestmark = pytest.mark.node

SHOP, PAYER = wallet(0x51), wallet(0x52)
REF = b"\x77" * 32
RAW = 25 * 10**6
DOUBLES = {"SigningToken": "SigningTokens", "TestPermit2": "TestPermit2"}
SIGNING = SigningDomain("Signing", "1")
ALL = TokenRoads(permit=SIGNING, authorization=SIGNING, permit2=True)


class RoadsRig(Rig):
    """A rig with a token that takes every signature, and a Permit2."""

    def __init__(self):
        super().__init__()
        files = {name: f"test/doubles/{file}.sol" for name, file in DOUBLES.items()}
        made = build_artifacts.solc(build_artifacts.sources(files.values()))["contracts"]
        code = {n: made[f][n]["evm"]["bytecode"]["object"] for n, f in files.items()}
        self.token, permit2 = (self._create(code[name]) for name in DOUBLES)
        self.send(ADMIN, self.exchange, encode_call("listToken", self.token, -100))
        collector = self.deploy("Collector", self.exchange, permit2)
        self.vault = Vault(self.web3.eth.chain_id, self.exchange, collector, permit2)
        self.salts = 0

    def _create(self, code):
        receipt = self._transact({"from": self.funder, "data": "0x" + code})
        return Web3.to_bytes(hexstr=receipt["contractAddress"])

    def roads(self, known):
        self.salts += 1
        bill = Bill(self.token, RAW, SOMEWHERE, SHOP.address, REF)
        fresh = Fresh(self.salts.to_bytes(32, "big"), self.now() + 1800)
        found = roads_of(self.vault, bill, PAYER.address, known, fresh)
        return {road.road: road.steps for road in found}

    def ask(self, to, data):
        return self.web3.eth.call({"to": Web3.to_checksum_address(octets(to)), "data": data})

    def walk(self, steps):
        """Do what the page has the wallet do; return what the last step sent, and its receipt."""
        signature = b""
        for step in steps:
            match step:
                case Approve():
                    if int.from_bytes(self.ask(step.to, step.check)) < int(step.raw):
                        self.send(PAYER, octets(step.to), octets(step.data))
                case Sign():
                    if step.nonce_call:
                        nonce = int.from_bytes(self.ask(step.to, step.nonce_call))
                        step.typed["message"]["nonce"] = str(nonce)
                    signed = Account.sign_typed_data(PAYER.secret, full_message=step.typed)
                    signature = bytes(signed.signature)
                case Send():
                    call = octets(step.data) + ending(step.append, signature)
                    receipt = self.send(PAYER, octets(step.to), call)
        return call, receipt


SOMEWHERE = b"\x5d" * 20


def octets(text):
    return bytes.fromhex(text[2:])


def ending(append, signature):
    rs, v = signature[:64], signature[64:]
    return {"": b"", "vrs": bytes(31) + v + rs, "rsv": rs + v + bytes(31)}[append]


@pytest.fixture(scope="module")
def rig():
    rig = RoadsRig()
    mint = encode_call("mint", PAYER.address, 100 * RAW, contract="TestToken")
    rig.send(PAYER, rig.token, mint)
    return rig


@pytest.mark.parametrize("road", ["permit", "authorization", "permit2", "approve"])
def test_a_deposit_goes_to_the_account_and_reference_that_the_payer_signed(rig, road):
    before = rig.balance(SHOP.address, rig.token)
    call, receipt = rig.walk(rig.roads(ALL)[road])
    (booked,) = rig.events(receipt, "Deposited")
    assert (booked["account"], booked["ref"]) == (checksummed(SHOP.address), REF)
    assert rig.balance(SHOP.address, rig.token) - before == RAW * 100
    to = rig.exchange if road == "approve" else rig.vault.collector
    with pytest.raises(Refused):
        rig.send(PAYER, to, call)
    assert rig.balance(SHOP.address, rig.token) - before == RAW * 100, "once"


def test_a_transfer_goes_to_the_address_of_the_invoice(rig):
    rig.walk(rig.roads(ALL)["transfer"])
    asked = encode_call("balanceOf", SOMEWHERE, contract="TestToken")
    assert int.from_bytes(rig.ask("0x" + rig.token.hex(), "0x" + asked.hex())) == RAW


def test_no_road_is_guessed(rig):
    assert list(rig.roads(TokenRoads())) == ["transfer", "approve"]
    assert list(rig.roads(TokenRoads(permit=SIGNING))) == ["transfer", "permit", "approve"]
    bare = rig.vault._replace(collector=b"")
    bill = Bill(rig.token, RAW, SOMEWHERE, SHOP.address, REF)
    found = roads_of(bare, bill, PAYER.address, ALL, Fresh(bytes(32), 1))
    assert [road.road for road in found] == ["transfer", "approve"]


def checksummed(address):
    return Web3.to_checksum_address(address)


@pytest.mark.parametrize(
    "wrong",
    [
        TokenRoads(permit=SigningDomain("Demo Dollar", "2")),
        TokenRoads(authorization=SigningDomain("Other", "1")),
        TokenRoads(permit2=True),
    ],
)
def test_what_an_operator_says_of_a_token_is_held_against_the_chain(tmp_path, clock, wrong):
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as devchain:
        first = deployed(devchain.chain, tmp_path).tokens[0]
        right = TokenRoads(permit=SigningDomain(first.name, "1"))
        check_roads(devchain.chain, {first.address: right, b"\x99" * 20: TokenRoads()})
        with pytest.raises(DeploymentError):
            check_roads(devchain.chain, {first.address: wrong})
        with pytest.raises(DeploymentError):
            check_roads(devchain.chain, {b"\x99" * 20: right})
