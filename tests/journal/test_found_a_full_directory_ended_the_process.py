"""A disk may be full for one more file name as well as for contents: cancels must go on.

Found by strace: ENOSPC of the rename with which a new file gets its name ended the process, though
the old file had room kept for cancels.
"""

import errno

import pytest

from engine.journal import DirectoryStorage, StorageFull
from tests.journal.fixtures import MemoryStorage, batch_from, recovered, sequencer_on


class NoNewNames(MemoryStorage):
    """A disk whose directory has no room for another entry where ``verb`` needs one."""

    verb = ""

    def create(self, name):
        if self.verb == "create":
            raise StorageFull(errno.ENOSPC, "no room", name)
        super().create(name)

    def rename(self, name, new_name):
        if self.verb == "rename":
            raise StorageFull(errno.ENOSPC, "no room", name)
        super().rename(name, new_name)


@pytest.mark.parametrize("verb", ["create", "rename"])
def test_a_rotation_without_room_for_the_name_goes_on_in_the_old_file(verb):
    storage = NoNewNames()
    sequencer = sequencer_on(storage, file_size_max=600)
    assert list(sequencer.recover()) == []
    sequencer.commit(batch_from(1, 3))
    storage.verb = verb

    sequencer.commit(batch_from(4, 1))
    assert sequencer.is_low, "no new orders"
    assert [name for name in storage.names() if name.endswith(".new")] == []

    storage.verb = ""
    sequencer.commit(batch_from(5, 1))
    assert len([name for name in storage.names() if name.endswith(".journal")]) == 1
    assert [frame.sequence for frame in recovered(storage)] == [1, 2, 3, 4, 5]


def test_a_name_that_is_too_long_is_a_failure_and_not_a_full_disk(tmp_path):
    storage = DirectoryStorage(tmp_path)
    with pytest.raises(OSError, match="too long") as found:
        storage.create("n" * 300)
    assert not isinstance(found.value, StorageFull)
    storage.close()
