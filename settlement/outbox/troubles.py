"""What keeps settlement waiting, in words for whoever runs it?

None of these is the end of anything: each is shown while it lasts, and goes when its cause does.
"""

from typing import NamedTuple

from settlement.outbox.actions import ActionKind


class Unsent(NamedTuple):
    """The node does not take a transaction; it is offered again with every step."""

    kind: ActionKind
    key: str
    reason: str

    def __str__(self) -> str:
        return f"the node does not take {self.kind} {self.key}: {self.reason}"


class Untried(NamedTuple):
    """The node cannot say whether the contract would take it; it is asked again with every step."""

    kind: ActionKind
    key: str
    reason: str

    def __str__(self) -> str:
        return f"the node cannot try {self.kind} {self.key}: {self.reason}"


class NonceMissing(NamedTuple):
    """The operator's next transaction is not among those on their way, so none of them can land.

    A reorganisation has taken away the one that used its nonce; an empty one is sent in its place.
    """

    nonce: int
    waiting: int

    def __str__(self) -> str:
        return f"{self.waiting} transactions wait for nonce {self.nonce}, at which none is sent"


class Paused(NamedTuple):
    """Something of it is of a token that the contract's admin has paused: it waits for a while."""

    kind: ActionKind
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.key} waits for a token that is paused on chain: {self.reason}"


class ClocksDiffer(NamedTuple):
    """A batch closes later than a block of now may carry it: it waits, for a block would refuse it.

    Trades have our time and blocks have theirs, so one of the two clocks is wrong.
    """

    batch: int
    ahead_seconds: int

    def __str__(self) -> str:
        return (
            f"batch {self.batch} closes {self.ahead_seconds} s after the newest block: "
            "our clock is ahead of the chain's, or the chain stands still"
        )


class AheadOfTime(NamedTuple):
    """The next trades bear a time that our clock has not reached: no batch may carry them yet."""

    sequence: int
    ahead_seconds: int

    def __str__(self) -> str:
        return (
            f"the trades of command {self.sequence} are stamped {self.ahead_seconds} s ahead of "
            "our clock, which was put back; they and all later ones wait for that time"
        )


class TooLarge(NamedTuple):
    """The trades of one command are more than a transaction can carry."""

    sequence: int
    trades: int
    carried: int
    gas_max: int

    def __str__(self) -> str:
        return (
            f"{self.trades} trades of command {self.sequence} are more than one transaction of "
            f"{self.gas_max} gas and 128 KiB can carry; {self.carried} fit"
        )


Trouble = Unsent | Untried | NonceMissing | Paused | ClocksDiffer | AheadOfTime | TooLarge
