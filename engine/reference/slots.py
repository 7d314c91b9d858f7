"""Which id does the next order get?

Ids are ``(generation << 32) | slot``. Freed slots are reused last in, first out; when none is free
the next slot never used is taken. A slot whose generations are used up is never given again.
"""

from engine.types import Limits


class Slots:
    """The ids in use, and those to come."""

    def __init__(self, limits: Limits) -> None:
        """Begin with every slot unused."""
        self._limits = limits
        self.used = 0
        self.free: list[int] = []
        """The free list, its top at the end."""
        self.generation: dict[int, int] = {}

    def slot_is_free(self) -> bool:
        """Return whether one more id can be given."""
        return bool(self.free) or self.used < self._limits.orders

    def take_slot(self) -> int:
        """Return the id of a new order."""
        if self.free:
            slot = self.free.pop()
        else:
            self.used += 1
            slot = self.used
            self.generation[slot] = 0
        return self.generation[slot] << 32 | slot

    def comes_back(self, order_id: int) -> bool:
        """Return whether the slot of ``order_id`` can be given again once it is free."""
        return (order_id >> 32) + 1 < self._limits.generations

    def give_slot(self, order_id: int) -> None:
        """End the life of ``order_id``."""
        slot = order_id & (2**32 - 1)
        assert self.generation[slot] == order_id >> 32, "given back twice"
        self.generation[slot] += 1
        if self.generation[slot] < self._limits.generations:
            self.free.append(slot)
