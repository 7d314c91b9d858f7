"""Is it really he, now, who wants exactly this?

A session can be stolen; what could be misused for money or for power is therefore confirmed by the
person himself. The challenge is random. What it is for lies beside it, as the hash of kind, store,
person and parameters: the answer lets that one action happen once, within five minutes, and no
other. A wallet reads the action in words in what it signs.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.people.audit import Deed, note
from merchants.people.roles import CHANGE_PAYOUT, MANAGE_TEAM, Person
from merchants.records.database import reading, transaction
from merchants.records.people import Passkey, StepUp, User
from merchants.records.rejection import Rejection
from merchants.stores.scopes import (
    CLOSE_STORE,
    CREATE_UNAPPROVED_PULL_PAYMENTS,
    MANAGE_PAYOUTS,
    MODIFY_SETTINGS,
    MODIFY_WEBHOOKS,
)

NS: Final = 10**9
LIFE_S: Final = 300
CHALLENGE_SIZE: Final = 32
TRIES_MAX: Final = 5
OPEN_MAX: Final = 20
"""Challenges of one person; he cannot answer more in five minutes."""

PASSKEY: Final = "passkey"
TOTP: Final = "totp"
WALLET: Final = "wallet"


class Terms(NamedTuple):
    """What an action takes: a scope in its store (empty where it is about oneself), and whether
    both passkey and wallet have to agree."""

    scope: str
    is_strong: bool


ACTIONS: Final[dict[str, Terms]] = {
    "payout.change": Terms(CHANGE_PAYOUT, is_strong=True),
    "api-key.create": Terms(MODIFY_SETTINGS, is_strong=True),
    "api-key.rotate": Terms(MODIFY_SETTINGS, is_strong=True),
    "api-key.authorize": Terms(MODIFY_SETTINGS, is_strong=True),
    "webhook-secret.rotate": Terms(MODIFY_WEBHOOKS, is_strong=True),
    "store.close": Terms(CLOSE_STORE, is_strong=True),
    # Refunds are paid out of it without the wallet.
    "refund-key.create": Terms(MODIFY_SETTINGS, is_strong=True),
    "webhook.create": Terms(MODIFY_WEBHOOKS, is_strong=False),
    "webhook.change": Terms(MODIFY_WEBHOOKS, is_strong=False),
    "webhook.delete": Terms(MODIFY_WEBHOOKS, is_strong=False),
    "refund.create": Terms(CREATE_UNAPPROVED_PULL_PAYMENTS, is_strong=False),
    "refund.approve": Terms(MANAGE_PAYOUTS, is_strong=False),
    "refund.mark-paid": Terms(MANAGE_PAYOUTS, is_strong=False),
    # It changes nothing here; but who has the link says where the money goes.
    "refund.claim-link": Terms(MANAGE_PAYOUTS, is_strong=False),
    "policy.change": Terms(MODIFY_SETTINGS, is_strong=False),
    "exceptions.change": Terms(MODIFY_SETTINGS, is_strong=False),
    "embedding.change": Terms(MODIFY_SETTINGS, is_strong=False),
    "store.change": Terms(MODIFY_SETTINGS, is_strong=False),
    "confirmations.change": Terms(MODIFY_SETTINGS, is_strong=False),
    "pay-button.create": Terms(MODIFY_SETTINGS, is_strong=False),
    "invitation.create": Terms(MANAGE_TEAM, is_strong=True),
    "member.change": Terms(MANAGE_TEAM, is_strong=True),
    "member.remove": Terms(MANAGE_TEAM, is_strong=True),
    "passkey.add": Terms("", is_strong=False),
    "passkey.remove": Terms("", is_strong=False),
    "totp.add": Terms("", is_strong=False),
    "totp.remove": Terms("", is_strong=False),
    "recovery-codes.make": Terms("", is_strong=False),
}
"""All that a session alone cannot do."""


class Action(NamedTuple):
    """What somebody wants to do; ``parameters`` are its canonical JSON."""

    kind: str
    store_id: str
    parameters: bytes

    def hash_for(self, user_id: str) -> bytes:
        """Return what the challenge is bound to. Lengths first: no two actions run together."""
        parts = (self.kind.encode(), self.store_id.encode(), user_id.encode(), self.parameters)
        hashed = sha256(b"tillbook action 1")
        for part in parts:
            hashed.update(len(part).to_bytes(8, "big") + part)
        return hashed.digest()


class Asked(NamedTuple):
    """A challenge to answer by all of ``needs``."""

    id: str
    needs: tuple[str, ...]
    challenge: bytes
    message: str
    ends_ns: int
    passkeys: tuple[bytes, ...]
    wallet: bytes | None


class StepUps:
    """Makes challenges, takes what answers them and lets each be used once."""

    def __init__(
        self, database: Engine, clock: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    def begin(self, person: Person, action: Action, site: str) -> Asked | Rejection:
        """Return what this person has to do so that ``action`` may happen.

        Rejects FORBIDDEN where he lacks a factor that it takes, RATE_LIMITED where he has too many
        open challenges.
        """
        now_ns = self._clock()
        with transaction(self._database) as session:
            mine = StepUp.user_id == person.user_id
            session.execute(delete(StepUp).where(mine, StepUp.ends_ns <= now_ns))
            count = session.scalar(select(func.count()).select_from(StepUp).where(mine)) or 0
            if count >= OPEN_MAX:
                return Rejection(Outcome.RATE_LIMITED, {"retry_after": str(LIFE_S)})
            user = session.get_one(User, person.user_id)
            keys = session.scalars(
                select(Passkey.id).where(Passkey.user_id == person.user_id)
            ).all()
            needs = _needs(ACTIONS[action.kind], user, has_passkey=bool(keys))
            if isinstance(needs, Rejection):
                return needs
            challenge = self._entropy(CHALLENGE_SIZE)
            ends_ns = now_ns + LIFE_S * NS
            message = _message(action, challenge, site, ends_ns) if WALLET in needs else ""
            row = StepUp(
                id="stp_" + self._entropy(16).hex(),
                user_id=person.user_id,
                session_id=person.session_id,
                kind=action.kind,
                action_hash=action.hash_for(person.user_id),
                needs=" ".join(needs),
                challenge=challenge,
                message=message,
                ends_ns=ends_ns,
            )
            session.add(row)
            return Asked(row.id, needs, challenge, message, ends_ns, tuple(keys), user.wallet)

    def asked(self, person: Person, step_up_id: str) -> Asked | None:
        """Return a challenge of this session that waits for its answer; None where there is
        none."""
        with reading(self._database) as session:
            row = session.get(StepUp, step_up_id)
            if row is None or not self._waits(row, person):
                return None
            keys = session.scalars(select(Passkey.id).where(Passkey.user_id == row.user_id)).all()
            wallet = session.get_one(User, row.user_id).wallet
            needs = tuple(row.needs.split())
            return Asked(
                row.id, needs, row.challenge, row.message, row.ends_ns, tuple(keys), wallet
            )

    def _waits(self, row: StepUp, person: Person) -> bool:
        is_his = (row.user_id, row.session_id) == (person.user_id, person.session_id)
        return is_his and not row.granted and row.ends_ns > self._clock()

    def failed(self, step_up_id: str) -> None:
        """Note a wrong answer; after some the challenge is gone."""
        with transaction(self._database) as session:
            row = session.get(StepUp, step_up_id)
            if row is None:
                return
            row.tries += 1
            if row.tries >= TRIES_MAX:
                session.delete(row)

    def grant(self, session: Session, person: Person, step_up_id: str) -> bool:
        """Note, in the caller's transaction, that a challenge was answered by all it needs; False
        where it does not wait for that any more."""
        row = session.get(StepUp, step_up_id)
        if row is None or not self._waits(row, person):
            return False
        row.granted = True
        return True

    def use(self, session: Session, person: Person, step_up_id: str, action: Action) -> bool:
        """Use a challenge up for ``action``, in the transaction of the action; False where it is
        not one of this session, not answered, over, used, or of another action."""
        row = session.get(StepUp, step_up_id) if step_up_id else None
        if row is None or not row.granted or row.ends_ns <= self._clock():
            return False
        if (row.user_id, row.session_id) != (person.user_id, person.session_id):
            return False
        if row.action_hash != action.hash_for(person.user_id):
            return False
        session.delete(row)  # What is not there any more is not used a second time.
        deed = Deed("step-up.used", action.kind, action.store_id, after=row.action_hash.hex())
        note(session, person, self._clock(), deed)
        return True

    def forget_ended(self, session: Session, limit: int) -> None:
        """Drop rows of challenges that are over."""
        over = select(StepUp.id).where(StepUp.ends_ns <= self._clock()).limit(limit)
        session.execute(delete(StepUp).where(StepUp.id.in_(over)))


def needs_step_up(action: Action) -> Rejection:
    """Return the rejection of an action that nobody has confirmed."""
    return Rejection(
        Outcome.FORBIDDEN,
        {"why": "confirm it: POST /v1/people/step-ups, and answer", "step_up": action.kind},
    )


def _needs(terms: Terms, user: User, *, has_passkey: bool) -> tuple[str, ...] | Rejection:
    """Return the factors that have to answer: both where money or power is at stake, else the best
    that he has."""
    if terms.is_strong:
        if has_passkey and user.wallet is not None:
            return (PASSKEY, WALLET)
        lacks = "a wallet that signs in" if has_passkey else "a passkey"
        return Rejection(Outcome.FORBIDDEN, {"why": f"this takes {lacks}; your account has none"})
    if has_passkey:
        return (PASSKEY,)
    if user.totp_confirmed:
        return (TOTP,)
    if user.wallet is not None:
        return (WALLET,)
    return Rejection(Outcome.FORBIDDEN, {"why": "your account has nothing to confirm this with"})


def _message(action: Action, challenge: bytes, site: str, ends_ns: int) -> str:
    """Return what a wallet shows and signs. It is no message of EIP-4361: it opens no session."""
    where = f" in store {action.store_id}" if action.store_id else ""
    return (
        f"{site} asks you to confirm one action. It moves no money by itself.\n\n"
        f"Action: {action.kind}{where}\n"
        f"With: {action.parameters.decode()}\n"
        f"Challenge: {challenge.hex()}\n"
        f"Good until: {ends_ns // NS} (unix seconds)"
    )
