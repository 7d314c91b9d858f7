"""Are API keys that their owner ended still ended after a restart, and after a torn write?"""

import asyncio

from gateway.node.key_epochs import FileEpochs
from gateway.trading.api_keys import ApiKeys
from gateway.trading.sessions import Session
from tests.api.fixtures import DOMAIN, START_NS
from tests.asked import login_of

SECRET = bytes(range(32))
WALLET = (7).to_bytes(32, "big")


def session():
    proof = login_of(DOMAIN, WALLET, START_NS // 10**9)
    return Session(proof.account, START_NS // 10**9 + 3600, proof)


def test_ended_keys_are_void_for_the_next_process_and_a_new_one_is_good(tmp_path):
    path, clock = tmp_path / "epochs", [START_NS]
    keys = ApiKeys(SECRET, FileEpochs(path), lambda: clock[0])
    old = keys.mint(session(), may_trade=True)
    clock[0] += 10**9
    asyncio.run(keys.end_all(old.account))
    for _ in range(3):
        after = ApiKeys(SECRET, FileEpochs(path), lambda: clock[0])
        assert after.read(old.key) is None
        # Made in the very millisecond of the end, it is not ended with the others.
        new = after.mint(session(), may_trade=False)
        assert after.read(new.key) == new
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_that_was_torn_off_is_nobodys_answer(tmp_path):
    path = tmp_path / "epochs"
    account = bytes(20)
    asyncio.run(FileEpochs(path).end(account, 1_000))
    whole = path.read_text()
    for length in range(len(whole)):
        path.write_text(whole[:length])
        assert FileEpochs(path).of(account) in (0, 1, 10, 100, 1_000)
    path.write_text(whole + "zz" * 20 + " 5\n" + "ab 7")
    assert FileEpochs(path).of(account) == 1_000


def test_a_key_is_read_by_who_has_the_secret_and_nobody_else():
    keys = ApiKeys(SECRET, FileEpochsInMemory(), lambda: START_NS)
    made = keys.mint(session(), may_trade=True)
    assert keys.read(made.key) == made and made.session.proof == session().proof
    assert ApiKeys(bytes(32), FileEpochsInMemory(), lambda: START_NS).read(made.key) is None
    for at in range(0, len(made.key), 7):
        other = "A" if made.key[at] != "A" else "B"
        assert keys.read(made.key[:at] + other + made.key[at + 1 :]) is None
    for junk in ("", "é", "A" * 3_000, made.key[:40], made.key + "AAAA"):
        assert keys.read(junk) is None


class FileEpochsInMemory:
    def of(self, account):
        return 0

    async def end(self, account, issued_ms):
        raise AssertionError("nobody ends one here")
