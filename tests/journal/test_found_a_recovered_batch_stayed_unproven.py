"""What recovery has synced and shown is proven, also if nothing is written before the next stop.

Found by strace: a sync failed, the next process found the batch, made it durable and answered for
it, but the mark went on saying that it might never have been acknowledged. Rot in it would have
been cut off as a write that did not finish.
"""

import pytest

from engine.journal import JournalCorrupt
from engine.journal.mark import MARK_NAME, read_mark
from tests.journal.fixtures import batches_of, recovered, without_mark, written


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_the_mark_covers_all_that_was_recovered(is_forgotten):
    storage = written([3])
    before = bytes(storage.files[MARK_NAME])
    storage = written([3, 2])
    storage.files[MARK_NAME][:] = before
    if is_forgotten:
        without_mark(storage)

    assert len(recovered(storage)) == 5
    assert read_mark(storage).sequence == 5

    name, offset, header = batches_of(storage)[-1]
    storage.files[name][offset : offset + header.size] = bytes(header.size)
    with pytest.raises(JournalCorrupt):
        recovered(storage)
