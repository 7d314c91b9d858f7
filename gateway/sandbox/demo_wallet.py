"""How can a visitor trade without a wallet, and whoever has one without money?

The sandbox lends a wallet whose key everybody knows: it signs what the page asks for, as a browser
wallet would, and asks nobody. And it gives away test money: worthless, but bounded.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from engine.types import PIPS_PER_TOKEN, Outcome
from gateway.api.v1.encoding import ADDRESS_PATTERN, Address, address
from gateway.api.v1.orders import PlaceOrder, checked_order
from gateway.http.body import body_of
from gateway.node.node import Stack
from gateway.sandbox import funding
from gateway.sandbox.rpc import answer_rpc, is_of_another_site
from gateway.sandbox.wallet import TransactionLost, Wallet
from gateway.trading.rejection import Rejection
from settlement.chain.dev.devchain import RpcError
from settlement.protocol.eip712 import login_digest, order_digest, withdrawal_digest
from settlement.protocol.evidence import SignedWithdrawal
from settlement.protocol.siwe import personal_digest

GIFT: Final = {
    "TOKEN": 10 * PIPS_PER_TOKEN,
    "USD": 25_000 * PIPS_PER_TOKEN,
    "EUR": 25_000 * PIPS_PER_TOKEN,
}
"""What one press gives, in the vault and once more in the wallet."""

GAS_WEI: Final = 10**18
"""What a wallet has to have of the chain's own coin to pay in by itself: one, if it has less."""

ENOUGH: Final = 4
"""Who has so many gifts gets no more: the sandbox is shared."""

WAITING_MAX: Final = 4
WALLET_THREADS: Final = 2
INVALID_PARAMS: Final = -32602
TYPED_DATA_CHARS_MAX: Final = 8_192
METHODS: Final = frozenset(
    {
        "eth_requestAccounts",
        "eth_accounts",
        "eth_signTypedData_v4",
        "personal_sign",
        "eth_sendTransaction",
    }
)
UnixSeconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
NO_SIGNATURE: Final = "0x" + "00" * 65


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants test money."""

    account: Address


class _Transaction(msgspec.Struct, frozen=True):
    to: Annotated[str, msgspec.Meta(pattern=ADDRESS_PATTERN)]
    data: Annotated[str, msgspec.Meta(pattern="^0x([0-9a-fA-F]{2})*$", max_length=2_050)] = "0x"


class _Typed(msgspec.Struct, frozen=True):
    primaryType: str  # noqa: N815 - EIP-712's name
    message: dict[str, Any]


class DemoWallet:
    """The lent wallet, spoken to as EIP-1193 says. It signs texts, and typed data of our domain and
    of nothing else."""

    def __init__(self, wallet: Wallet, stack: Stack) -> None:
        self._wallet = wallet
        self._stack = stack
        self._sending = threading.Lock()  # The next nonce is known when the last one is mined.

    def ask(self, method: str, params: list[Any]) -> Any:
        """Answer one request; raises ``RpcError``."""
        try:
            match method:
                case "eth_requestAccounts" | "eth_accounts":
                    return ["0x" + self._wallet.address.hex()]
                case "eth_signTypedData_v4":
                    return "0x" + self._wallet.sign_digest(self._digest(params)).hex()
                case "personal_sign":
                    return "0x" + self._wallet.sign_digest(_text_digest(params)).hex()
                case _:
                    asked = msgspec.convert(params[0], _Transaction)
                    to, calldata = bytes.fromhex(asked.to[2:]), bytes.fromhex(asked.data[2:])
                    with self._sending:
                        return "0x" + self._wallet.transact(to, calldata).tx_hash.hex()
        except (msgspec.ValidationError, msgspec.DecodeError, IndexError, TypeError) as wrong:
            raise RpcError(INVALID_PARAMS, str(wrong)) from None
        except Rejection as wrong:
            raise RpcError(INVALID_PARAMS, wrong.detail) from None
        except TransactionLost as lost:
            raise RpcError(INVALID_PARAMS, str(lost)) from None

    def _digest(self, params: list[Any]) -> bytes:
        text = params[1]
        if not isinstance(text, str) or len(text) > TYPED_DATA_CHARS_MAX:
            raise RpcError(INVALID_PARAMS, "typed data as text")
        typed = msgspec.json.decode(text, type=_Typed)
        domain = self._stack.parts.exchange.domain
        match typed.primaryType:
            case "Order":
                order = msgspec.convert(typed.message | {"signature": NO_SIGNATURE}, PlaceOrder)
                return order_digest(domain, checked_order(order))
            case "Login":
                issued_at = msgspec.convert(typed.message.get("issuedAt"), UnixSeconds)
                return login_digest(domain, self._wallet.address, issued_at)
            case "Withdrawal":
                return withdrawal_digest(domain, _withdrawal(typed.message, self._wallet.address))
        raise RpcError(INVALID_PARAMS, f"this wallet does not sign {typed.primaryType!r}")


def _text_digest(params: list[Any]) -> bytes:
    """Return what is signed of a text: everybody has the key, so any text may be."""
    text = params[0]
    if not isinstance(text, str) or len(text) > TYPED_DATA_CHARS_MAX or text[:2] != "0x":
        raise RpcError(INVALID_PARAMS, "a text in hexadecimal digits")
    try:
        return personal_digest(bytes.fromhex(text[2:]).decode())
    except ValueError as wrong:
        raise RpcError(INVALID_PARAMS, str(wrong)) from None


class _Withdrawal(msgspec.Struct, frozen=True):
    token: Address
    amount: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,20}$")]
    to: Address
    nonce: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,20}$")]
    expiry: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


def _withdrawal(message: dict[str, Any], account: bytes) -> SignedWithdrawal:
    asked = msgspec.convert(message, _Withdrawal)
    return SignedWithdrawal(
        account=account,
        token=address(asked.token, "token"),
        amount=int(asked.amount),
        to=address(asked.to, "to"),
        nonce=int(asked.nonce),
        expiry=asked.expiry,
        signature=b"",
        digest=b"",
    )


class Faucet:
    """Gives test money, to one account after the other."""

    def __init__(self, stack: Stack, giver: Wallet) -> None:
        self._stack = stack
        self._giver = giver
        self._giving = asyncio.Lock()
        self._waiting = 0

    async def give(self, account: bytes) -> None:
        """Pay one gift of each token into the vault for ``account``, and one into its wallet."""
        if self._has_enough(account):
            raise Rejection(Outcome.FORBIDDEN, "this account has test money enough")
        if self._waiting >= WAITING_MAX:
            raise Rejection(Outcome.OVERLOADED, "others are being served; try again")
        self._waiting += 1
        try:
            async with self._giving:
                await asyncio.to_thread(self._give, account)
        except TransactionLost as lost:
            # Whoever has the giver's key may have sent its native coin away.
            raise Rejection(Outcome.INSUFFICIENT_BALANCE, f"not given: {lost}") from lost
        finally:
            self._waiting -= 1

    def _has_enough(self, account: bytes) -> bool:
        exchange = self._stack.parts.exchange
        return all(
            sum(exchange.balance(account, token.address)) >= ENOUGH * GIFT[token.symbol]
            for token in self._stack.parts.catalog.tokens
            if token.symbol in GIFT
        )

    def _give(self, account: bytes) -> None:
        if self._stack.chain.balance(account) < GAS_WEI:
            self._giver.transact(account, b"", GAS_WEI)
        for token in self._stack.parts.catalog.tokens:
            if token.symbol in GIFT:
                funding.give(
                    self._stack.chain,
                    self._stack.deployment,
                    self._giver,
                    account,
                    token,
                    GIFT[token.symbol],
                )


def demo_wallet_router(wallet: DemoWallet, faucet: Faucet) -> APIRouter:
    """Return the routes of the lent wallet and of the test money."""
    router = APIRouter(include_in_schema=False)
    threads = ThreadPoolExecutor(WALLET_THREADS, thread_name_prefix="wallet")

    @router.post("/sandbox/wallet")
    async def ask_wallet(request: Request) -> Response:
        """Let the page's demo wallet sign."""
        return await answer_rpc(request, wallet.ask, threads, METHODS)

    @router.post("/sandbox/faucet", status_code=204)
    async def give(request: Request, asked: Annotated[Asked, Depends(body_of(Asked))]) -> Response:
        """Give test money."""
        if is_of_another_site(request):
            raise Rejection(Outcome.FORBIDDEN, "not for pages of other sites")
        await faucet.give(address(asked.account, "account"))
        return Response(status_code=204)

    return router
