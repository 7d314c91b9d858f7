"""Who reads the log, and in which order?

One list for the product and for the simulator, so that both show a batch to everybody alike.
"""

from collections.abc import Iterable

from engine.log_entries import CheckpointedConsumer
from engine.sequencer.subscription import Subscription
from merchants.service import Merchants
from settlement.audit.reconcile import Reconciler
from settlement.orders.catalog import Catalog, ChangesOfTerms


def subscriptions(
    checkpointed: Iterable[CheckpointedConsumer],
    merchants: Merchants,
    reconciler: Reconciler,
    catalog: Catalog,
) -> list[Subscription]:
    """Return all of them in order: first ``checkpointed``, the catalog in front.

    The merchants have a database, and answer nobody. Of who was touched lately nobody asks after a
    restart. What a change of terms changes is read by everybody before it is changed.
    """
    return [
        *(Subscription(consumer.checkpoint_name, consumer) for consumer in checkpointed),
        Subscription("merchants", merchants, is_inline=False),
        Subscription("reconciler", reconciler),
        Subscription("changes of terms", ChangesOfTerms(catalog)),
    ]
