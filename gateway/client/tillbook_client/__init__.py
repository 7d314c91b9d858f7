"""Trade on a Tillbook exchange: orders are signed here, with a key that never leaves the process.

from tillbook_client import Client, Wallet

with Client("http://127.0.0.1:8787", Wallet("0x...")) as exchange:
    order = exchange.buy("TOKEN-USD", "0.1", "2600.00", time_in_force="IOC")
    print(order.fills, order.ended)
"""

from tillbook_client.answers import Balance, Book, Fill, Level, Order, Placed, Settlement, Trade
from tillbook_client.books import LocalBook
from tillbook_client.client import AsyncClient, Client
from tillbook_client.errors import (
    GapError,
    InvalidAmountError,
    RejectedError,
    TillbookError,
    UnknownMarketError,
    UnknownOutcomeError,
    WrongExchangeError,
)
from tillbook_client.orders import Market, Place, Token, Wish
from tillbook_client.signing import Domain, Wallet
from tillbook_client.stream import AsyncStream

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Balance",
    "Book",
    "Client",
    "Domain",
    "Fill",
    "GapError",
    "InvalidAmountError",
    "Level",
    "LocalBook",
    "Market",
    "Order",
    "Place",
    "Placed",
    "RejectedError",
    "Settlement",
    "TillbookError",
    "Token",
    "Trade",
    "UnknownMarketError",
    "UnknownOutcomeError",
    "Wallet",
    "Wish",
    "WrongExchangeError",
]
