"""Found: an answer to a challenge was looked at where contracts are asked over the chain, even one
that a key had signed: while the node hung, a few strangers' contracts kept every owner from
confirming anything."""

import threading

import pytest

from gateway.api.v1.people_access import THREADS
from tests.merchants.fixtures import World
from tests.merchants.people_site import Browser, make_store, people_site
from tests.merchants.test_a_contract_wallet_owns_a_store import SAFE, WORD, SafeBrowser


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class Hanging(set):
    """What contracts stand behind, by a node that does not answer before it is let."""

    def __init__(self):
        super().__init__()
        self.asked, self.answers = threading.Semaphore(0), threading.Event()

    def __contains__(self, question):
        self.asked.release()
        assert self.answers.wait(60)
        return False


def test_found_a_key_confirms_while_the_node_hangs(world):
    app = people_site(world)
    make_store(app)
    owner = Browser(app, world)
    assert owner.sign_in().status_code == 201
    world.venue.open_store(wallet=SAFE)
    world.vouched = node = Hanging()
    strangers = []
    for number in range(THREADS):
        stranger = SafeBrowser(app, world, host=f"10.0.{number}.1")
        message = stranger.message(stranger.terms())
        body = {"message": message, "signature": "0x" + WORD.hex(), "invitation": ""}
        path = "/v1/people/sessions/wallet"
        strangers.append(threading.Thread(target=stranger.ask, args=("POST", path, body)))
    try:
        for stranger in strangers:
            stranger.start()
        assert all(node.asked.acquire(timeout=30) for _ in strangers), "they hold all threads"
        confirming = threading.Thread(target=owner.add_passkey)
        confirming.start()
        confirming.join(10)
        assert not confirming.is_alive(), "who has a key waits for nobody's contract"
    finally:
        node.answers.set()
        for thread in strangers:
            thread.join(30)
    assert len(owner.me()["passkeys"]) == 1
