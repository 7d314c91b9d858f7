"""Is rot noticed at the next start, before anybody is told anything?"""

from typing import TYPE_CHECKING

from engine.journal import JournalCorrupt
from engine.journal.reader import journal_names
from tests.sim.ack_oracle import Violated
from tests.sim.disk import SECTOR, Disk
from tests.sim.storage import SimStorage
from tests.sim.venue import sequencer_on

if TYPE_CHECKING:
    from tests.sim.world import World


def survives_damage(world: "World", kind: str) -> str:
    """Damage a copy of a disk and start on it; return what came of it.

    Right is to refuse, to come up with every command that was ever shown, and to set a last batch
    aside for review. Anything else is a broken promise. The world goes on with what the operator
    restored.
    """
    journal, snapshots = world.disk.copy(), world.snapshot_disk.copy()
    is_snapshot = bool(snapshots.names()) and world.dice.random() < 0.5
    damaged = snapshots if is_snapshot else journal
    names = [name for name in damaged.names() if damaged.entries[name].stable]
    if not names or not world.ack_oracle.prints or not journal_names(SimStorage(journal)):
        return f"{kind}: nothing to damage"
    name = world.dice.choice(names)
    if kind == "rot" and damaged is journal and world.dice.random() < 0.5:
        damaged.rot(*_near_the_end(world, damaged))
    elif kind == "rot":
        damaged.rot(name, world.dice.randrange(8 * len(damaged.entries[name].stable)))
    else:
        _misdirect(world, damaged, name)
    where = "snapshot" if is_snapshot else "journal"
    return f"{kind} in {where}: {_verdict(world, journal, snapshots)}"


def _near_the_end(world: "World", damaged: Disk) -> tuple[str, int]:
    """Return a bit of what was written last: there torn and rotted are hard to tell apart."""
    name = journal_names(SimStorage(damaged))[-1]
    end = len(damaged.entries[name].stable.rstrip(b"\0"))
    return name, world.dice.randrange(8 * max(0, end - 2 * SECTOR), 8 * end)


def _misdirect(world: "World", damaged: Disk, name: str) -> None:
    def sector(of: str) -> int:
        return world.dice.randrange(-(-len(damaged.entries[of].stable) // SECTOR))

    to_name = world.dice.choice([n for n in damaged.names() if damaged.entries[n].stable])
    damaged.misdirect(name, sector(name), to_name, sector(to_name))


def _verdict(world: "World", journal: Disk, snapshots: Disk) -> str:
    world.ack_oracle.reborn()
    try:
        _, sequencer = sequencer_on(
            world.planted,
            SimStorage(journal),
            SimStorage(snapshots),
            world.options.file_size,
            world.clock,
        )
        snapshot = sequencer.resume(world.checkpoint_names)
        if snapshot is not None:
            world.ack_oracle.load(snapshot.consumers[world.ack_oracle.checkpoint_name])
        for batch in sequencer.recover():
            world.ack_oracle.consume(batch)
    except JournalCorrupt:
        return "refused"
    missing = len(world.ack_oracle.prints) - world.ack_oracle.sequence
    if missing > 0 and not sequencer.ambiguous:
        raise Violated(f"P7: a damaged journal came up {missing} commands short and said nothing")
    if missing > 0:
        return "set aside for review"
    return "passed over" if sequencer.snapshots_refused else "harmless"
