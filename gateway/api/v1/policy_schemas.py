"""What does a shop say about when its payments are sold, and what is it answered?"""

from typing import Annotated

import msgspec

from engine.types import PPM
from merchants.records.policies import SLICES_MAX, PolicyKind
from merchants.sales.policies import PERIOD_MAX_S

Amount = Annotated[str, msgspec.Meta(max_length=32)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=PERIOD_MAX_S)]


class ConversionPolicyBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """When what a store was paid is sold: ``at_once``; by ``threshold``, all that is gathered when
    it is worth ``worth`` (in the store's stablecoin) or older than ``age_s`` (0 for no age);
    by ``twap``, in ``slices`` over ``period_s``; or ``keep``, at once but for ``keep_ppm`` of each
    payment, which stay as they came."""

    kind: PolicyKind
    worth: Amount = "0"
    age_s: Seconds = 0
    slices: Annotated[int, msgspec.Meta(ge=0, le=SLICES_MAX)] = 0
    period_s: Seconds = 0
    keep_ppm: Annotated[int, msgspec.Meta(ge=0, le=PPM)] = 0


class PolicyOutcome(msgspec.Struct, frozen=True):
    """What a policy would have brought in ``sales`` sales, before fees and without regard to lots
    and depth. ``slippage_ppm`` is against the middle of the book when each payment came, negative
    for more than that; ``variance`` is that of the sales' slippages, in ppm squared. ``left`` is
    what it would not have sold yet, worth ``left_worth`` now."""

    kind: PolicyKind
    sales: int
    sold: str
    brought: str
    worth: str
    slippage_ppm: int
    variance: int
    left: str
    left_worth: str


class SimulationReply(msgspec.Struct, frozen=True):
    """A policy tried on the store's newest payments, beside selling at once. ``held_since`` (unix
    seconds) is since when this server has trades of the market: ``passed_over`` payments are older.
    ``note`` says in words what that means for the answer."""

    market: str
    payments: int
    passed_over: int
    held_since: int | None
    note: str
    policies: list[PolicyOutcome]
