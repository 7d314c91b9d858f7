"""What does a shop say about money that does not come as it was asked for?"""

import msgspec

from merchants.records.exception_policies import ExceptionAction


class ExceptionPoliciesBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is done by itself with money that came ``late`` and would pay, that is ``short`` of the
    price, ``over`` it, or of an ``other_token``: ``keep`` (what came late is weighed at present
    prices, what is over is sold, the rest stays on the store's account), ``return`` (a refund is
    opened, whose claim link is on the invoice's page) or ``requote`` (a new price, once; for what
    is late or short only)."""

    late: ExceptionAction = ExceptionAction.KEEP
    short: ExceptionAction = ExceptionAction.KEEP
    over: ExceptionAction = ExceptionAction.KEEP
    other_token: ExceptionAction = ExceptionAction.KEEP
