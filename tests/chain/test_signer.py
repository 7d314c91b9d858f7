"""Keys sign, and are never seen."""

import json
import pickle
from pathlib import Path

import pytest
from eth_account import Account

from settlement.chain.dev.devchain import dev_secret
from settlement.chain.signer import KeystoreError, KeystoreSigner, SecretSigner, Transaction
from settlement.protocol.eip712 import recover

SECRET = dev_secret(3)
PLAIN = Transaction(31337, 7, b"\x22" * 20, b"\xaa", 50_000, 10**10, 10**9, 5)


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "operator.json"
    # Two rounds only: the test is about reading, not about guessing passwords.
    path.write_text(json.dumps(Account.encrypt(SECRET, "secret word", kdf="pbkdf2", iterations=2)))
    return path


def test_a_transaction_is_signed_as_eth_account_reads_it():
    signer = SecretSigner(SECRET)
    raw = signer.sign_transaction(PLAIN)

    assert raw == signer.sign_transaction(PLAIN), "the same bytes every time"
    assert bytes.fromhex(Account.recover_transaction(raw)[2:]) == signer.address
    assert signer.sign_transaction(PLAIN._replace(nonce=8)) != raw
    creation = signer.sign_transaction(PLAIN._replace(to=None))
    assert bytes.fromhex(Account.recover_transaction(creation)[2:]) == signer.address


def test_a_digest_is_signed_as_the_contract_wants_it():
    signer = SecretSigner(SECRET)
    assert recover(b"\x05" * 32, signer.sign_digest(b"\x05" * 32)) == signer.address


def test_a_keystore_gives_the_same_signer(keystore: Path):
    signer = KeystoreSigner.load(keystore, "secret word")

    assert signer.address == SecretSigner(SECRET).address
    assert signer.sign_transaction(PLAIN) == SecretSigner(SECRET).sign_transaction(PLAIN)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 4}', '{"version": 3}'])
def test_what_is_no_keystore_is_refused_by_name(tmp_path: Path, content: str):
    path = tmp_path / "odd.json"
    path.write_text(content)
    with pytest.raises(KeystoreError, match=r"odd\.json"):
        KeystoreSigner.load(path, "x")


def test_no_secret_shows(keystore: Path):
    signer = SecretSigner(SECRET)
    with pytest.raises(KeystoreError) as wrong:
        KeystoreSigner.load(keystore, "not the word")

    for text in (repr(signer), str(signer), f"{[signer]}", str(wrong.value)):
        assert SECRET.hex() not in text and str(SECRET) not in text
        assert "not the word" not in text
    assert signer.address.hex() in repr(signer)
    assert wrong.value.__cause__ is None and wrong.value.__context__ is None
    assert not hasattr(signer, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(signer)
