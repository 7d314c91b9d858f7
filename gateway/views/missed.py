"""Which frames about its orders has an account been told last, heard or not?

Who was away asks for what it missed by the number of the last frame that it has. Of an account the
last ``FRAMES_MAX`` are kept; where all together are too many, those of the account that was quiet
for the longest time go. They follow from the log alone, so they are the same after a restart.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from gateway.views.channels import News

FRAMES_MAX: Final = 1_000
FRAMES_TOTAL_MAX: Final = 50_000


class Missed:
    """The last frames of all accounts, each account's numbered without a gap."""

    def __init__(self, each_max: int = FRAMES_MAX, total_max: int = FRAMES_TOTAL_MAX) -> None:
        self._each_max = each_max
        self._total_max = total_max
        self._told: OrderedDict[int, deque[News]] = OrderedDict()
        """By account, the one that was told something last at the end."""
        self._total = 0

    def add(self, account: int, news: News) -> None:
        """Keep the next frame of ``account``."""
        mine = self._told.get(account)
        if mine is None:
            mine = self._told[account] = deque()
        else:
            self._told.move_to_end(account)
        mine.append(news)
        self._total += 1
        if len(mine) > self._each_max:
            mine.popleft()
            self._total -= 1
        while self._total > self._total_max:
            _, gone = self._told.popitem(last=False)
            self._total -= len(gone)

    def after(self, account: int, number: int, last: int) -> list[News] | None:
        """Return the frames of ``account`` behind ``number`` up to ``last``, the newest there is;
        None if they are not all kept, or there never was such a number."""
        count = last - number
        mine = self._told.get(account, ())
        if not 0 <= count <= len(mine):
            return None
        return list(islice(mine, len(mine) - count, None))

    def save(self) -> dict[int, list[Any]]:
        """Return all of it, the account that was quiet for longest first."""
        return {account: list(mine) for account, mine in self._told.items()}

    def load(self, told: Mapping[int, Iterable[News]]) -> None:
        """Take what ``save`` returned."""
        for account, news in told.items():
            for each in news:
                self.add(account, each)
