"""What may somebody who speaks for a shop do?

Scopes carry the names of BTCPay's permissions, so that what asks for those can ask for ours. Some
include others, as they do there.
"""

from collections.abc import Collection, Iterable
from typing import Final

UNRESTRICTED: Final = "unrestricted"
VIEW_INVOICES: Final = "btcpay.store.canviewinvoices"
CREATE_INVOICES: Final = "btcpay.store.cancreateinvoice"
MODIFY_INVOICES: Final = "btcpay.store.canmodifyinvoices"
VIEW_SETTINGS: Final = "btcpay.store.canviewstoresettings"
MODIFY_SETTINGS: Final = "btcpay.store.canmodifystoresettings"
MODIFY_WEBHOOKS: Final = "btcpay.store.webhooks.canmodifywebhooks"
VIEW_REPORTS: Final = "btcpay.store.canviewreports"
VIEW_PULL_PAYMENTS: Final = "btcpay.store.canviewpullpayments"
MANAGE_PULL_PAYMENTS: Final = "btcpay.store.canmanagepullpayments"
CREATE_PULL_PAYMENTS: Final = "btcpay.store.cancreatepullpayments"
CREATE_UNAPPROVED_PULL_PAYMENTS: Final = "btcpay.store.cancreatenonapprovedpullpayments"
ARCHIVE_PULL_PAYMENTS: Final = "btcpay.store.canarchivepullpayments"
MANAGE_PAYOUTS: Final = "btcpay.store.canmanagepayouts"
VIEW_PAYOUTS: Final = "btcpay.store.canviewpayouts"
CLOSE_STORE: Final = "tillbook.store.canclose"
"""BTCPay has none of its own for it. It is the owner's and the unrestricted key's: who may change
settings would else end a shop that is not his."""

INCLUDED: Final[dict[str, tuple[str, ...]]] = {
    UNRESTRICTED: (MODIFY_SETTINGS, CLOSE_STORE),
    MODIFY_SETTINGS: (
        VIEW_SETTINGS,
        MODIFY_INVOICES,
        MODIFY_WEBHOOKS,
        MANAGE_PULL_PAYMENTS,
        MANAGE_PAYOUTS,
    ),
    VIEW_SETTINGS: (VIEW_INVOICES, VIEW_REPORTS, VIEW_PULL_PAYMENTS, VIEW_PAYOUTS),
    MODIFY_INVOICES: (VIEW_INVOICES, CREATE_INVOICES),
    MANAGE_PULL_PAYMENTS: (CREATE_PULL_PAYMENTS, ARCHIVE_PULL_PAYMENTS),
    CREATE_PULL_PAYMENTS: (CREATE_UNAPPROVED_PULL_PAYMENTS,),
    ARCHIVE_PULL_PAYMENTS: (VIEW_PULL_PAYMENTS,),
    MANAGE_PAYOUTS: (VIEW_PAYOUTS,),
    CREATE_INVOICES: (),
    VIEW_INVOICES: (),
    MODIFY_WEBHOOKS: (),
    VIEW_REPORTS: (),
    VIEW_PULL_PAYMENTS: (),
    CREATE_UNAPPROVED_PULL_PAYMENTS: (),
    VIEW_PAYOUTS: (),
    CLOSE_STORE: (),
}
"""Every scope there is, and those that it includes."""


def sees_claims(scopes: Collection[str]) -> bool:
    """Return whether who has ``scopes`` may see the links that customers claim refunds by: who
    opens refunds and who pays them. To others a link is a way to the customer's money."""
    return CREATE_UNAPPROVED_PULL_PAYMENTS in scopes or MANAGE_PAYOUTS in scopes


def opened(scopes: Iterable[str]) -> frozenset[str]:
    """Return all that ``scopes`` allow, with what they include; of unknown ones nothing."""
    found: set[str] = set()
    waiting = [scope for scope in scopes if scope in INCLUDED]
    while waiting:
        scope = waiting.pop()
        if scope not in found:
            found.add(scope)
            waiting += INCLUDED[scope]
    return frozenset(found)
