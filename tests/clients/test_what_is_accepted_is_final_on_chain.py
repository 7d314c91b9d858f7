"""Does an order that a tool has placed end on chain, whichever way it was signed?"""

import ccxt
import orjson

from tests.e2e.running import until

PAIR = "TOKEN/USD"


def test_an_order_over_the_dialect_is_final_on_chain(door, ask_exchange):
    client = door.point(ccxt.binance(door.ccxt_options()))
    bought = client.create_order(PAIR, "market", "buy", 0.2)
    assert bought["filled"] == 0.2

    def settled():
        fills = client.fetch_order_trades(bought["id"], PAIR)
        states = [fill["info"]["x_settlement"] for fill in fills]
        return states if all(state["state"] == "final" for state in states) else None

    states = until("its fills are final", settled)
    for transaction in {state["txHash"] for state in states}:
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt"}
        asked = orjson.dumps({**call, "params": [transaction]})
        headers = {"content-type": "application/json"}
        receipt = orjson.loads(ask_exchange("POST", "/sandbox/rpc", asked, headers)[2])["result"]
        assert int(receipt["status"], 16) == 1
