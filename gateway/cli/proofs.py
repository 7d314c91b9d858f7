"""What can be proved from a data directory, without a running exchange?

Reads the databases beside a server that may be running; writes nothing into them.
"""

from pathlib import Path

from merchants.documents.reader import sales_of
from merchants.service import open_merchants_database
from settlement.audit.proofs import TradeProof, proofs_of
from settlement.chain.deploy import Deployment
from settlement.outbox.outbox import Outbox


def receipts_of_invoice(
    directory: Path, invoice_id: str, server: str = ""
) -> list[TradeProof] | None:
    """Return the receipts of an invoice's sales; None if there is no such invoice.

    ``server`` is the URL of the shops' database where it is not in ``directory``. Raises OSError
    and ``DeploymentError`` if ``directory`` is not an exchange's, and what ``open_database`` does.
    """
    deployment = Deployment.load(directory / "deployment.json")
    database = open_merchants_database(directory, server)
    sales = sales_of(database, invoice_id)
    database.dispose()
    if sales is None:
        return None
    outbox = Outbox(directory / "settlement.sqlite")
    tokens = [token.address for token in deployment.tokens]
    receipts = [
        proof for one in sales for proof in proofs_of(outbox, deployment.domain, tokens, *one)
    ]
    outbox.close()
    return receipts
