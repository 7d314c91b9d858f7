"""How is a contract called that this exchange stands on?

So that a deposit, an exit or a cancel on chain needs nobody's permission and no source to look a
function up in.
"""

from functools import cache
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from engine.types import Outcome
from gateway.api.dependencies import Here, charged
from gateway.api.v1 import schemas
from gateway.api.v1.encoding import hexed
from gateway.api.v1.openapi import documented
from gateway.trading.rejection import Rejection
from settlement.protocol.abi import artifact

ARTIFACTS: Final = {
    "exchange": "Exchange",
    "custodian": "Custodian",
    "invoice_deposits": "InvoiceDeposits",
    "collector": "Collector",
    "bond": "Bond",
}
"""What ``/v1/config`` calls a contract, and what its source does."""

router = APIRouter(prefix="/v1", tags=["market"], dependencies=[Depends(charged)])


@router.get(
    "/contracts/{name}",
    openapi_extra=documented(schemas.Contract, rejections=(404, 429)),
)
async def read_contract(
    services: Here,
    name: Annotated[str, Path(description="as in `contracts` of `/v1/config`", max_length=32)],
) -> Response:
    """Return a contract's address and ABI: deposit, exit, cancel, grant, withdraw by yourself."""
    address = services.contracts.get(name)
    if address is None or name not in ARTIFACTS:
        raise Rejection(Outcome.NOT_FOUND, f"contracts are {', '.join(services.contracts)}")
    return Response(_written(name, address), media_type="application/json")


@cache
def _written(name: str, address: bytes) -> bytes:
    contract = artifact(ARTIFACTS[name])
    row: schemas.Contract = schemas.Contract(
        name=name, contract=contract.contract, address=hexed(address), abi=contract.abi
    )
    return msgspec.json.encode(row)
