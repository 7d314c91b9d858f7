"""What is done by itself with what a shop is paid late, short, over or in another token?"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.api.v1.exception_policy_schemas import ExceptionPoliciesBody
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import FIND, MAKE, Here, accepted, having_own
from gateway.http.body import body_of
from merchants.records.exception_policies import ExceptionPolicy
from merchants.records.tables import Store
from merchants.sales.exceptions import ExceptionRequest
from merchants.stores.scopes import MODIFY_SETTINGS, VIEW_SETTINGS

router = APIRouter(prefix="/v1/stores/{store_id}/exception-policies", tags=["merchants"])

Reading = Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
Changing = Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]


@router.get(
    "",
    openapi_extra=documented(
        ExceptionPoliciesBody, rejections=FIND, proof="store", scope=VIEW_SETTINGS
    ),
)
async def read_exception_policies(shops: Here, store: Reading) -> Response:
    """Return what is done with what comes late, short, over or in another token."""
    return Answer(_body(await shops.readers.ask(shops.merchants.exception_policies.of, store.id)))


@router.put(
    "",
    openapi_extra=documented(
        ExceptionPoliciesBody,
        body=ExceptionPoliciesBody,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def change_exception_policies(
    shops: Here,
    store: Changing,
    body: Annotated[ExceptionPoliciesBody, Depends(body_of(ExceptionPoliciesBody))],
) -> Response:
    """Do otherwise with what is weighed or booked from now on; what is not said is kept."""
    wanted = ExceptionRequest(body.late, body.short, body.over, body.other_token)
    return Answer(_body(accepted(shops.merchants.exception_policies.change(store.id, wanted))))


def _body(policy: ExceptionPolicy) -> ExceptionPoliciesBody:
    return ExceptionPoliciesBody(policy.late, policy.short, policy.over, policy.other_token)
