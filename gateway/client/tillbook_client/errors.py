"""What can go wrong, by whose fault, and may it be tried again?"""

from typing import Any


class TillbookError(Exception):
    """Everything that this package raises by itself."""


class InvalidAmountError(TillbookError, ValueError):
    """An amount that is no exact decimal number, or does not lie on the market's steps."""


class UnknownMarketError(TillbookError, LookupError):
    """The exchange lists no market of that name."""


class WrongExchangeError(TillbookError):
    """The exchange signs other types than this package does: one of both is of another version."""


class UnknownOutcomeError(TillbookError):
    """No answer came, so nobody knows what became of the request.

    An order that was signed by ``sign`` may be sent again by ``send``: it is taken once.
    """


class GapError(TillbookError):
    """A frame is missing or a book is wrong: take a new snapshot."""


class RejectedError(TillbookError):
    """The exchange said no. ``outcome`` is its word, ``code`` its number, ``figures`` the rest."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.outcome = str(problem.get("outcome", "INTERNAL"))
        self.code = int(problem.get("code", -1))
        self.detail = str(problem.get("detail", ""))
        self.retryable = bool(problem.get("retryable", False))
        named = {"type", "title", "status", "outcome", "code", "detail", "retryable"}
        self.figures = {name: value for name, value in problem.items() if name not in named}
        super().__init__(f"{self.outcome} ({self.code}): {self.detail}")
