"""Which bugs does the simulator have to find? Parts of the product with one thing wrong."""

from collections.abc import Iterator
from typing import Any

from engine.core import Engine
from engine.journal import Batch, Journal
from engine.journal.mark import Mark, write_mark
from engine.journal.reader import Damage, Tail
from engine.log_entries import Committed
from engine.sequencer.sequencer import Sequencer
from gateway.node.assembly import Parts
from settlement.outbox.outbox import ActionState, Outbox
from settlement.outbox.tables import transmissions
from tests.sim.contract import Ledgers, Machine
from tests.sim.venue import Planted


class AnswersBeforeTheSync(Journal):
    """Calls a batch durable when it is written."""

    def sync(self) -> None:
        self.durable = self.sequence
        write_mark(self._storage, Mark(self.durable, self.head))


class TrustsThePageCache(Journal):
    """Reads, shows and builds upon what only memory may hold."""

    def _write_again(self) -> None:
        return


class CutsWhatItCannotRead(Journal):
    """Takes every damaged last batch for a torn one."""

    def _mend(self, tail: Tail) -> None:
        super()._mend(tail._replace(damage=Damage.TORN))


class SyncsTheBatchBefore(Journal):
    """Syncs a file once more when it begins the next, and forgets the sync of its last batch."""

    def sync(self) -> None:
        if self._size > self._file_size_max:
            self.durable = self.sequence
            return
        super().sync()


class ReplaysTwice(Sequencer[Engine]):
    """Shows the first batch after a snapshot a second time."""

    def recover(self) -> Iterator[Committed]:
        for number, committed in enumerate(super().recover()):
            yield committed
            if number == 0 and self.resumed_at:
                yield committed


class StampsWithAnyClock(Sequencer[Engine]):
    """Lets time run backwards with the machine's clock."""

    def write(self, commands: Any, attachments: Any) -> Any:
        self._time_ns = 0
        return super().write(commands, attachments)


class ForgetsWhatItSent(Outbox):
    """Keeps what it sent in memory only: after a restart everything is signed anew, and what lands
    of before is nobody's."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        with self._engine.begin() as db:
            db.execute(transmissions.delete())
        for action in self.in_state(ActionState.SIGNED, ActionState.BROADCAST, limit=10_000):
            self.unsigned(action.id, "", 0)


class SkipsTheRest(Journal):
    """Gives up at the first batch of the last file: what was acknowledged there is overwritten."""

    def recover(self, after: Any = None) -> Iterator[Batch]:
        batches = list(super().recover(after))
        yield from batches[:-1]


class PaysAheadOfTheLog(Machine):
    """Pays a countersigned withdrawal whoever sends it whenever, as the contract once did."""

    def _wait_for(self, ledgers: Ledgers, place: int) -> None:
        return


PLANTED = {
    "answers before the sync": Planted(Parts(journal=AnswersBeforeTheSync)),
    "syncs the batch before": Planted(Parts(journal=SyncsTheBatchBefore)),
    "does not sync names": Planted(syncs_directory=False),
    "trusts the page cache": Planted(Parts(journal=TrustsThePageCache)),
    "cuts what it cannot read": Planted(Parts(journal=CutsWhatItCannotRead)),
    "loses the last batch of a replay": Planted(Parts(journal=SkipsTheRest)),
    "replays twice": Planted(Parts(sequencer=ReplaysTwice)),
    "stamps with any clock": Planted(Parts(sequencer=StampsWithAnyClock)),
    "forgets what it sent": Planted(outbox=ForgetsWhatItSent),
    "pays ahead of the log": Planted(contract=PaysAheadOfTheLog),
}
