"""What did the operator ask for, by his own word?

Nothing but the log proves that somebody asked, so an auditor counts it by command, who and why, and
leaves it to the reader whether he likes the reasons. A control character in one reaches no
terminal.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from engine.commands import Kind
from settlement.protocol.evidence import AnyAttachment, OperatorAction

SHOWN_MAX: Final = 50


class OperatorActions:
    """Counts them, command by command."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def follow(self, kind: int, attachment: AnyAttachment | None) -> None:
        """Take what stands beside one command."""
        if isinstance(attachment, OperatorAction):
            what = Kind(kind).name
            if attachment.action:
                what = f"{what} ({attachment.action})"
            self._counts[f"{what} by {attachment.operator}: {attachment.reason}"] += 1

    def notes(self) -> Iterator[str]:
        """Yield what was asked for, the most frequent first."""
        total = sum(self._counts.values())
        if not total:
            return
        yield f"an operator asked for these {total} commands, for reasons that are his word:"
        for words, count in self._counts.most_common(SHOWN_MAX):
            yield f"  {count} {''.join(c if c.isprintable() else '?' for c in words)}"
        if len(self._counts) > SHOWN_MAX:
            yield f"  and {len(self._counts) - SHOWN_MAX} more"
