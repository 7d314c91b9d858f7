"""What may a person do in a store?

Scopes carry the names of BTCPay's permissions, so that tools which know those know ours. A role is
a set of them. What a person makes (an API key) never carries a scope that he has not got himself.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

VIEW_INVOICES: Final = "btcpay.store.canviewinvoices"
CREATE_INVOICE: Final = "btcpay.store.cancreateinvoice"
MODIFY_INVOICES: Final = "btcpay.store.canmodifyinvoices"
VIEW_SETTINGS: Final = "btcpay.store.canviewstoresettings"
MODIFY_SETTINGS: Final = "btcpay.store.canmodifystoresettings"
MODIFY_WEBHOOKS: Final = "btcpay.store.webhooks.canmodifywebhooks"
MANAGE_PULL_PAYMENTS: Final = "btcpay.store.canmanagepullpayments"
CREATE_PULL_PAYMENTS: Final = "btcpay.store.cancreatepullpayments"
VIEW_REPORTS: Final = "btcpay.store.canviewreports"
MANAGE_TEAM: Final = "tillbook.store.canmanageteam"
CHANGE_PAYOUT: Final = "tillbook.store.canchangepayout"


class Role(StrEnum):
    """What a person is to a store."""

    OWNER = "owner"
    MANAGER = "manager"
    CLERK = "clerk"
    ACCOUNTANT = "accountant"


_CLERK: Final = frozenset({VIEW_INVOICES, CREATE_INVOICE, CREATE_PULL_PAYMENTS})
_ACCOUNTANT: Final = frozenset({VIEW_INVOICES, VIEW_SETTINGS, VIEW_REPORTS})
_MANAGER: Final = (
    _CLERK | _ACCOUNTANT | {MODIFY_INVOICES, MODIFY_SETTINGS, MODIFY_WEBHOOKS, MANAGE_PULL_PAYMENTS}
)

SCOPES: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        Role.OWNER: _MANAGER | {MANAGE_TEAM, CHANGE_PAYOUT},
        Role.MANAGER: _MANAGER,
        Role.CLERK: _CLERK,
        Role.ACCOUNTANT: _ACCOUNTANT,
    }
)


class Person(NamedTuple):
    """Somebody with an open session, and from where he asks."""

    user_id: str
    session_id: str
    network: str
    recovered: bool
    """He came in by a recovery code, a short while ago."""


class Actor(NamedTuple):
    """A person in one of his stores."""

    person: Person
    store_id: str
    role: Role

    @property
    def scopes(self) -> frozenset[str]:
        """Return what he may do there."""
        return SCOPES[self.role]

    def may(self, scope: str) -> bool:
        """Return whether he has ``scope``."""
        return scope in self.scopes

    def beyond(self, scopes: Iterable[str]) -> list[str]:
        """Return those of ``scopes`` that he has not got and cannot give, in order."""
        return sorted(set(scopes) - self.scopes)
