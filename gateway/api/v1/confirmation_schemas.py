"""How do steps of confirmations look in JSON?"""

from typing import Annotated

import msgspec

from merchants.sales.confirmations import CONFIRMATIONS_MAX, STEPS_MAX


class StepBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """From a price of ``from_amount`` of the settle token on, so many ``confirmations``."""

    from_amount: Annotated[str, msgspec.Meta(max_length=40)]
    confirmations: Annotated[int, msgspec.Meta(ge=1, le=CONFIRMATIONS_MAX)]


class StepsBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Steps that rise; none for what the exchange waits for, whatever the price."""

    steps: Annotated[list[StepBody], msgspec.Meta(max_length=STEPS_MAX)]
