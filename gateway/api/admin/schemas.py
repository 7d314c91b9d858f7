"""What crosses the operators' API? Sizes and prices are lots, ticks and pips, whole numbers."""

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from engine.types import FEE_MAX_PPM, MONEY_MAX, PRICE_MAX

END: Final = r"$(?!\n)"
"""The end of a pattern, in Python and in JavaScript: Python's ``$`` alone lets a newline pass."""

DECIMALS_MAX: Final = 26
"""More, and a pip is more raw units than 64 bits count."""

STOP_SECONDS_MAX: Final = 86_400

Reason = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*" + END,
        min_length=1,
        max_length=200,
        description="why, in your own words; it is written into the log for ever",
    ),
]
Name = Annotated[str, Meta(pattern="^[A-Z0-9]{1,12}" + END, description="a token's symbol")]
Symbol = Annotated[
    str, Meta(pattern="^[A-Z0-9]{1,12}-[A-Z0-9]{1,12}" + END, description="a market's symbol")
]
Address = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}" + END, description="20 bytes, 0x-hex")]
Ticks = Annotated[int, Meta(ge=0, le=PRICE_MAX)]
Pips = Annotated[int, Meta(ge=0, le=MONEY_MAX)]
Sizes = Annotated[int, Meta(ge=1, le=MONEY_MAX)]
MakerFee = Annotated[
    int, Meta(ge=-FEE_MAX_PPM, le=FEE_MAX_PPM, description="negative for a rebate")
]
TakerFee = Annotated[int, Meta(ge=0, le=FEE_MAX_PPM)]
PhaseName = Literal["OPEN", "POST_ONLY", "CANCEL_ONLY", "HALTED", "AUCTION"]


class Asked(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An action that needs nothing but a reason."""

    reason: Reason


class SetPhase(Asked, frozen=True, kw_only=True):
    """What a market takes on from now on."""

    phase: PhaseName


class SetBand(Asked, frozen=True, kw_only=True):
    """Between which prices a market may trade; both 0 lift the band."""

    lowest_ticks: Ticks
    highest_ticks: Ticks


class SetTerms(Asked, frozen=True, kw_only=True):
    """Other terms of a market; what is left out stays. Its orders are cancelled."""

    lot_pips: Sizes | UnsetType = UNSET
    tick_pips: Sizes | UnsetType = UNSET
    maker_fee_ppm: MakerFee | UnsetType = UNSET
    taker_fee_ppm: TakerFee | UnsetType = UNSET
    least_notional_pips: Pips | UnsetType = UNSET


class CancelAll(Asked, frozen=True, kw_only=True):
    """Whose orders are cancelled, where. Without a market in all, without an account everybody's;
    without both only if ``everything`` is true."""

    market: Symbol | None = None
    account: Address | None = None
    everything: bool = False


class ListToken(Asked, frozen=True, kw_only=True):
    """The token that the contract has listed next."""

    symbol: Name
    address: Address
    decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)]


class ListMarket(Asked, frozen=True, kw_only=True):
    """A market between two listed tokens."""

    symbol: Symbol
    base: Name
    quote: Name
    lot_pips: Sizes
    tick_pips: Sizes
    maker_fee_ppm: MakerFee
    taker_fee_ppm: TakerFee
    least_notional_pips: Pips = 0


class Drain(Asked, frozen=True, kw_only=True):
    """Take no new orders. With ``stop_after_seconds`` the process then ends in good order."""

    stop_after_seconds: Annotated[int, Meta(ge=0, le=STOP_SECONDS_MAX)] | None = None


class Done(Struct, frozen=True, kw_only=True):
    """It is so now: by command ``sequence``, or it was so before (0)."""

    sequence: int


class Cancelled(Struct, frozen=True, kw_only=True):
    """So many orders left the books, by so many commands, the last of them ``sequence``."""

    sequence: int
    orders: int
    commands: int


class TokenRow(Struct, frozen=True, kw_only=True):
    """A listed token."""

    number: int
    symbol: str
    address: str
    decimals: int
    unit_scale: int


class Tokens(Struct, frozen=True, kw_only=True):
    """All tokens, in the contract's order."""

    tokens: list[TokenRow]


class MarketRow(Struct, frozen=True, kw_only=True):
    """A market as it is now; a band of 0 to 0 is none."""

    number: int
    symbol: str
    base: str
    quote: str
    phase: str
    lowest_ticks: int
    highest_ticks: int
    lot_pips: int
    tick_pips: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    least_notional_pips: int


class Markets(Struct, frozen=True, kw_only=True):
    """All markets, the delisted too."""

    markets: list[MarketRow]


class State(Struct, frozen=True, kw_only=True):
    """How the process is. ``stops_in_seconds`` is null unless a drain ends it."""

    draining: bool
    stops_in_seconds: int | None
    sequence: int
    snapshot_sequence: int
    snapshot_under_way: bool
    websockets: int
    not_ready: list[str]
    restrictions: list[str]


class Alive(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str = "alive"


REPLIES: Final = (Done, Cancelled, Tokens, Markets, State, Alive)
BODIES: Final = (
    *(Asked, SetPhase, SetBand, SetTerms, CancelAll),
    *(ListToken, ListMarket, Drain),
)
