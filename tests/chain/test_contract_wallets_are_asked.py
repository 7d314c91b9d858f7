"""A contract's word for a signature (ERC-1271): asked at a final block, in little gas, in the
standard's exact words."""

import pytest

from settlement.chain.contract_wallets import SIGNATURE_SIZE_MAX, stands_behind
from settlement.chain.deploy import created_address
from settlement.chain.dev.devchain import start_devchain
from settlement.chain.signer import Transaction
from settlement.contracts import build_artifacts
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import KeyGrant, address_of_secret, grant_digest, keccak256, sign
from settlement.settler import GRANT_GAS
from tests.chain.conftest import Clock
from tests.chain.venue import ALICE, NS, deployed

SECRET = b"\x21" * 32
DIGEST = keccak256(b"what is approved")
NAMES = ("ContractWallet", "MumblingWallet", "BrokenWallet")

pytestmark = pytest.mark.node


class Wallets:
    """A chain with an exchange, and wallets that are contracts."""

    def __init__(self, chain, directory, clock):
        self.chain, self.clock = chain, clock
        self.deployment = deployed(chain, directory)
        self.before = chain.head().number
        file = "test/doubles/Wallets.sol"
        made = build_artifacts.solc(build_artifacts.sources([file]))["contracts"][file]
        codes = {name: made[name]["evm"]["bytecode"]["object"] for name in NAMES}
        codes["ContractWallet"] += (bytes(12) + address_of_secret(SECRET)).hex()
        self.at = {}
        for name, code in codes.items():
            nonce = chain.nonce(ALICE.address, pending=False)
            self.at[name] = created_address(ALICE.address, nonce)
            assert self.send(None, bytes.fromhex(code), 10**6).succeeded

    def send(self, to, calldata, gas):
        nonce = self.chain.nonce(ALICE.address, pending=False)
        fee = 2 * self.chain.base_fee() + 1
        raw = ALICE.sign_transaction(
            Transaction(self.chain.chain_id, nonce, to, calldata, gas, fee, 1)
        )
        self.chain.send_raw(raw)
        return self.chain.receipt(keccak256(raw))

    def asks(self, wallet, digest=DIGEST, signature=None, block=None):
        signature = sign(digest, SECRET) if signature is None else signature
        block = self.chain.head().number if block is None else block
        return stands_behind(self.chain, wallet, digest, signature, block, ALICE.address)


@pytest.fixture(scope="module")
def wallets(tmp_path_factory):
    directory, clock = tmp_path_factory.mktemp("wallets"), Clock()
    with start_devchain(directory / "chain", "eth-tester", clock) as devchain:
        yield Wallets(devchain.chain, directory, clock)


def test_a_contract_stands_behind_what_its_owner_signed_and_nothing_else(wallets):
    wallet = wallets.at["ContractWallet"]
    assert wallets.asks(wallet)
    assert not wallets.asks(wallet, signature=sign(keccak256(b"other"), SECRET))
    assert not wallets.asks(wallet, signature=sign(DIGEST, b"\x22" * 32))
    assert not wallets.asks(wallet, signature=b"")


def test_the_exchange_takes_the_grant_that_a_contract_stands_behind(wallets):
    wallet, deployment = wallets.at["ContractWallet"], wallets.deployment
    base, quote = (token.address for token in deployment.tokens[:2])
    expiry = wallets.clock() // NS + 3600
    grant = KeyGrant(wallet, b"\x31" * 20, base, quote, 2, expiry, 10**12, 5, 1)
    digest = grant_digest(deployment.domain, grant)
    signature = sign(digest, SECRET)
    assert wallets.asks(wallet, digest, signature)
    calldata = encode_call("grantKey", tuple(grant), signature)
    assert wallets.send(deployment.exchange, calldata, GRANT_GAS).succeeded


def test_a_wrong_answer_none_at_all_and_no_contract_are_no_word(wallets):
    for wallet in (wallets.at["MumblingWallet"], wallets.at["BrokenWallet"], b"\x99" * 20):
        assert not wallets.asks(wallet)
    long = bytes(SIGNATURE_SIZE_MAX + 1)
    assert not wallets.asks(wallets.at["ContractWallet"], signature=long)


def test_a_wallet_that_came_behind_the_final_block_says_nothing_yet(wallets):
    wallet = wallets.at["ContractWallet"]
    assert not wallets.asks(wallet, block=wallets.before) and wallets.asks(wallet)
