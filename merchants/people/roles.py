"""What may a person do in a store?

A role is a set of the scopes that API keys have as well (``merchants.stores.scopes``), and of two
that no key has: who belongs to the store, and where its money goes. What a person makes (an API
key) never carries a scope that he has not got himself.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from merchants.stores.scopes import (
    CLOSE_STORE,
    CREATE_INVOICES,
    CREATE_PULL_PAYMENTS,
    MODIFY_SETTINGS,
    VIEW_INVOICES,
    VIEW_SETTINGS,
    opened,
)

MANAGE_TEAM: Final = "tillbook.store.canmanageteam"
CHANGE_PAYOUT: Final = "tillbook.store.canchangepayout"


class Role(StrEnum):
    """What a person is to a store."""

    OWNER = "owner"
    MANAGER = "manager"
    CLERK = "clerk"
    ACCOUNTANT = "accountant"


_CLERK: Final = opened((VIEW_INVOICES, CREATE_INVOICES, CREATE_PULL_PAYMENTS))
_ACCOUNTANT: Final = opened((VIEW_SETTINGS,))
_MANAGER: Final = _CLERK | opened((MODIFY_SETTINGS,))

SCOPES: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        Role.OWNER: _MANAGER | {CLOSE_STORE, MANAGE_TEAM, CHANGE_PAYOUT},
        Role.MANAGER: _MANAGER,
        Role.CLERK: _CLERK,
        Role.ACCOUNTANT: _ACCOUNTANT,
    }
)


def scopes_in(role: Role, *, is_closed: bool) -> frozenset[str]:
    """Return what a role may do in a store that is open, or closed."""
    return SCOPES[role] & _ACCOUNTANT if is_closed else SCOPES[role]


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
    is_closed: bool = False
    """Whether the store is: then its books are all that is left to do with it."""

    @property
    def scopes(self) -> frozenset[str]:
        """Return what he may do there."""
        return scopes_in(self.role, is_closed=self.is_closed)

    def may(self, scope: str) -> bool:
        """Return whether he has ``scope``."""
        return scope in self.scopes

    def beyond(self, scopes: Iterable[str]) -> list[str]:
        """Return those of ``scopes`` that he has not got and cannot give, in order."""
        return sorted(set(scopes) - self.scopes)
