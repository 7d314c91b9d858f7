"""What does a shop say about the lots that its trades have sold, and what is it answered?"""

from typing import Annotated

import msgspec

from merchants.reports.lots import LOTS_MAX

TxHash = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{64}$")]
Amount = Annotated[str, msgspec.Meta(max_length=32)]


class ChosenLot(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``amount`` of what the deposit ``tx_hash``, ``log_index`` has brought (``lot_*`` of a row of
    the conversions)."""

    tx_hash: TxHash
    log_index: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    amount: Amount


class LotChoiceBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The lots that a trade has sold; what they do not cover goes by FIFO over what is left. None:
    all of it."""

    lots: Annotated[list[ChosenLot], msgspec.Meta(max_length=LOTS_MAX)]


class LotClosingBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Lots of what was sold before ``until`` (unix seconds; 0: never) are chosen no more."""

    until: Annotated[int, msgspec.Meta(ge=0, le=2**33)]
