"""What can people ask for, and what makes their part of the house move?

Put together from the files beside it. What proves something (``proven_*``) reads rows, costs
milliseconds of arithmetic and changes nothing: it may be called on any thread, and never on the
event loop's. All else writes, and belongs there. Between the two a row may have changed, so what
was proven is held against it once more where it is used.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.people import codes
from merchants.people.audit import Deed, note
from merchants.people.passkeys import (
    Made,
    NewPasskey,
    PasskeyAnswer,
    Site,
    decoded,
    made_key,
    new_count,
)
from merchants.people.payouts import News, Payouts, Wallets
from merchants.people.roles import CHANGE_PAYOUT, SCOPES, Actor, Person, Role
from merchants.people.sessions import Opened, Origin, Sessions
from merchants.people.slowing import Slowdown
from merchants.people.step_ups import (
    ACTIONS,
    PASSKEY,
    TOTP,
    WALLET,
    Action,
    Asked,
    StepUps,
    needs_step_up,
)
from merchants.people.team import Invited, Team
from merchants.records.database import reading, transaction
from merchants.records.people import Passkey, PayoutChange, RecoveryCode, User
from merchants.records.rejection import Rejection
from merchants.records.tables import Store
from merchants.stores.api_keys import ApiKeys
from merchants.stores.closing import Closed
from merchants.stores.signers import Signers, Vouched
from settlement.protocol.siwe import personal_digest

NS: Final = 10**9
PASSKEYS_MAX: Final = 10
LOOK_S: Final = 60
"""How often what waits and what is over is looked for."""

ROWS_MAX: Final = 100


class PeopleTerms(NamedTuple):
    """What an operator decides: the ``secret`` seals what must not be read in the database, and
    ``sign_up`` says whether a stranger's wallet may open an account and a store by itself."""

    secret: bytes
    sign_up: bool


class Proven(NamedTuple):
    """A passkey that has answered: whose it is, and what it counts now."""

    user_id: str
    credential_id: bytes
    sign_count: int


class Answer(NamedTuple):
    """What somebody answers to a challenge: as many factors as it needs. ``vouched`` is what a
    wallet that is a contract stands behind."""

    passkey: PasskeyAnswer | None
    code: str
    signature: bytes
    vouched: Vouched | None = None


class Answered(NamedTuple):
    """Factors that were right, and what has to be remembered of them."""

    factors: frozenset[str]
    passkey: Proven | None
    totp_step: int


class Account(NamedTuple):
    """What a person sees of himself."""

    user: User
    passkeys: list[Passkey]
    codes_left: int


class People:
    """Everybody who may sign in."""

    def __init__(
        self,
        *,
        database: Engine,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        terms: PeopleTerms,
        wallets: Wallets,
        is_lost: Callable[[bytes], bool],
        keys: ApiKeys,
        signers: Signers,
        tell: News,
    ) -> None:
        self.database = database
        self.signers = signers
        self._keys = keys
        self._clock = clock
        self._entropy = entropy
        self._looks_ns = 0
        self._sealed = codes.Sealed(terms.secret, entropy)
        self.sign_up = terms.sign_up
        self.sessions = Sessions(database, clock, entropy)
        self.step_ups = StepUps(database, clock, entropy)
        self.team = Team(database, clock, entropy)
        self.payouts = Payouts(database, clock, entropy, wallets, is_lost, tell)
        self.guesses = Slowdown(clock)
        """Wrong proofs of strangers: by network, and by account as seen from it."""
        self.code_guesses = Slowdown(clock)
        """Wrong one-time codes, by account: only who has its session may try them."""

    def step(self) -> None:
        """Let payouts take effect that have waited, and forget what is over."""
        if self._clock() < self._looks_ns:
            return
        self._looks_ns = self._clock() + LOOK_S * NS
        self.payouts.take_effect(ROWS_MAX)
        with transaction(self.database) as session:
            self.sessions.forget_ended(session, ROWS_MAX)
            self.step_ups.forget_ended(session, ROWS_MAX)

    # -- Signing in ------------------------------------------------------------------------------

    def sign_in_wallet(self, wallet: bytes, invitation: str, origin: Origin) -> Opened | Rejection:
        """Open a session for who has just signed with ``wallet``; a new one opens an account where
        that is allowed, where it owns a store, or with an invitation. Rejects FORBIDDEN."""
        with transaction(self.database) as session:
            user = session.scalar(select(User).where(User.wallet == wallet))
            if user is None:
                if not self._may_join(session, wallet, invitation):
                    why = "this wallet has no account here; ask the store's owner to invite you"
                    return Rejection(Outcome.FORBIDDEN, {"why": why})
                user = self._new_user(session, wallet)
            opened = self.sessions.open(session, user.id, origin, "opened by wallet")
            person = Person(user.id, opened.session_id, origin.network, recovered=False)
            self.team.own(session, person, wallet)
            if invitation:
                joined = self.team.accept(session, person, invitation)
                if isinstance(joined, Rejection):
                    session.rollback()
                    return joined
            return opened

    def may_sign_in(self, wallet: bytes, invitation: str) -> bool:
        """Return whether a wallet that proves itself would be let in: others are not asked over
        the chain. Any thread may ask."""
        with reading(self.database) as session:
            if session.scalar(select(User.id).where(User.wallet == wallet)) is not None:
                return True
            return self._may_join(session, wallet, invitation)

    def _may_join(self, session: Session, wallet: bytes, invitation: str) -> bool:
        if self.sign_up or (invitation and self.team.is_invited(invitation)):
            return True
        return session.scalar(select(Store.id).where(Store.wallet == wallet).limit(1)) is not None

    def _new_user(self, session: Session, wallet: bytes) -> User:
        user = User(
            id="usr_" + self._entropy(12).hex(),
            created_ns=self._clock(),
            name="",
            wallet=wallet,
        )
        session.add(user)
        session.flush()
        return user

    def proven_passkey(
        self, answer: PasskeyAnswer, challenge: bytes, site: Site, user_id: str = ""
    ) -> Proven | None:
        """Return whose passkey has signed ``challenge``; None where it is nobody's, or not that
        of ``user_id`` if there is one. Costs milliseconds."""
        with reading(self.database) as session:
            row = session.get(Passkey, decoded(answer.id))
        if row is None or (user_id and row.user_id != user_id):
            return None
        count = new_count(answer, challenge, site, row.public_key, row.sign_count)
        return None if count is None else Proven(row.user_id, row.id, count)

    def _count(self, session: Session, proven: Proven) -> bool:
        """Remember an authenticator's count; False where it is not newer than what is known by
        now: then two answers have raced, or a copy of the key is about."""
        row = session.get(Passkey, proven.credential_id)
        if row is None or row.user_id != proven.user_id:
            return False
        if (row.sign_count or proven.sign_count) and proven.sign_count <= row.sign_count:
            return False
        row.sign_count, row.used_ns = proven.sign_count, self._clock()
        return True

    def sign_in_passkey(self, proven: Proven, origin: Origin) -> Opened | None:
        """Open a session for whose passkey it is; None where it was overtaken."""
        with transaction(self.database) as session:
            if not self._count(session, proven):
                return None
            return self.sessions.open(session, proven.user_id, origin, "opened by passkey")

    def proven_recovery(self, wallet: bytes, code: str) -> tuple[str, int, str] | None:
        """Return the account, the number and the hash of a recovery code that is right; None where
        it is not. Costs milliseconds, as much for an account that is not there."""
        number = codes.number_of(code)
        with reading(self.database) as session:
            user_id = session.scalar(select(User.id).where(User.wallet == wallet))
            row = None
            if user_id is not None and number is not None:
                row = session.get(RecoveryCode, (user_id, number))
        kept = row.hash if row is not None and row.hash else codes.NO_CODE
        if not codes.is_code(kept, code) or row is None or user_id is None:
            return None
        return user_id, row.number, row.hash

    def sign_in_recovery(
        self, user_id: str, number: int, kept: str, origin: Origin
    ) -> Opened | None:
        """Use a recovery code up and open a short session, all others of the account ended; None
        where it was used meanwhile."""
        with transaction(self.database) as session:
            row = session.get(RecoveryCode, (user_id, number))
            if row is None or not row.hash or row.hash != kept:
                return None
            row.hash = ""
            opened = self.sessions.open(
                session, user_id, origin, "opened by recovery code", recovered=True
            )
            person = Person(user_id, opened.session_id, origin.network, recovered=True)
            self.sessions.end_others(session, person)
            note(session, person, self._clock(), Deed("recovery-code.used", str(number)))
            return opened

    # -- Step-up ---------------------------------------------------------------------------------

    def proven_answer(
        self, person: Person, asked: Asked, answer: Answer, site: Site
    ) -> Answered | None:
        """Return which factors of ``answer`` are right, where they are all that ``asked`` needs;
        else None. Costs milliseconds."""
        factors: set[str] = set()
        proven, step = None, 0
        if PASSKEY in asked.needs and answer.passkey is not None:
            proven = self.proven_passkey(answer.passkey, asked.challenge, site, person.user_id)
            factors |= {PASSKEY} if proven else set()
        if TOTP in asked.needs and answer.code:
            step = self._step_of(person.user_id, answer.code) or 0
            factors |= {TOTP} if step else set()
        if WALLET in asked.needs and answer.signature and asked.wallet is not None:
            digest = personal_digest(asked.message)
            is_his = self.signers.has_signed(asked.wallet, digest, answer.signature, answer.vouched)
            factors |= {WALLET} if is_his else set()
        if not factors.issuperset(asked.needs):
            return None
        return Answered(frozenset(factors), proven, step)

    def _step_of(self, user_id: str, code: str) -> int | None:
        with reading(self.database) as session:
            user = session.get_one(User, user_id)
        if user.totp_sealed is None:
            return None
        secret = self._sealed.open(user_id, user.totp_sealed)
        step = None if secret is None else codes.step_of(secret, code, self._clock() // NS)
        return step if step is not None and step > user.totp_step else None

    def answer(self, person: Person, step_up_id: str, answered: Answered) -> bool:
        """Note that a challenge was answered; False where it, a code or a count was overtaken."""
        with transaction(self.database) as session:
            is_good = self.step_ups.grant(session, person, step_up_id)
            if is_good and answered.passkey is not None:
                is_good = self._count(session, answered.passkey)
            if is_good and answered.totp_step:
                is_good = self._take_step(session, person.user_id, answered.totp_step)
            if not is_good:
                session.rollback()
            return is_good

    def _take_step(self, session: Session, user_id: str, step: int) -> bool:
        """Use a time step up: RFC 6238 takes the second use of a code for a replay."""
        user = session.get_one(User, user_id)
        if step <= user.totp_step:
            return False
        user.totp_step = step
        return True

    def allowed(
        self, session: Session, person: Person, step_up_id: str, action: Action
    ) -> Rejection | None:
        """Use the confirmation of ``action`` up, in its transaction; rejects FORBIDDEN where there
        is none, and NOT_FOUND where his role does not allow it any more: what he was when he asked
        may have ended since. Who came by a recovery code may make himself new keys without one."""
        scope = ACTIONS[action.kind].scope
        if scope:
            actor = self.team.actor_in(session, person, action.store_id)
            if actor is None or not actor.may(scope):
                return Rejection(Outcome.NOT_FOUND, {"store": action.store_id})
        renewing = ("passkey.add", "totp.add", "recovery-codes.make")
        if person.recovered and action.kind in renewing:
            return None
        if self.step_ups.use(session, person, step_up_id, action):
            return None
        return needs_step_up(action)

    @staticmethod
    def unconfirmed(action: Action) -> Rejection:
        """Return the rejection of an action that nobody has confirmed."""
        return needs_step_up(action)

    def confirm(self, person: Person, step_up_id: str, action: Action) -> Rejection | None:
        """Use the confirmation of an action up, ahead of it: what then fails is asked anew."""
        with transaction(self.database) as session:
            return self.allowed(session, person, step_up_id, action)

    # -- Stores ----------------------------------------------------------------------------------

    def is_wallet_of(self, person: Person, wallet: bytes) -> bool:
        """Return whether ``wallet`` is what this person signs in with."""
        with reading(self.database) as session:
            return session.get_one(User, person.user_id).wallet == wallet

    def own_stores(self, person: Person) -> None:
        """Make a person an owner of the stores that are his wallet's by now."""
        with transaction(self.database) as session:
            wallet = session.get_one(User, person.user_id).wallet
            if wallet is not None:
                self.team.own(session, person, wallet)

    def accept(self, person: Person, token: str) -> str | Rejection:
        """Let a person join a store by an invitation; return the store's id."""
        with transaction(self.database) as session:
            return self.team.accept(session, person, token)

    def invite(
        self, person: Person, store_id: str, role: Role, step_up_id: str | None, action: Action
    ) -> Invited | Rejection:
        """Make an invitation; ``step_up_id`` is None where the operator asks."""
        with transaction(self.database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.NOT_FOUND, {"store": store_id})
            if store.closed_ns is not None:
                return Rejection(Outcome.FORBIDDEN, {"why": "the store is closed"})
            if step_up_id is not None:
                refused = self.allowed(session, person, step_up_id, action)
                if refused is not None:
                    return refused
            return self.team.invite(session, person, store_id, role)

    def change_member(
        self, actor: Actor, user_id: str, role: Role | None, step_up_id: str, action: Action
    ) -> Rejection | None:
        """Give a member another role, or none; what he has under way that he may do no more is
        called off."""
        with transaction(self.database) as session:
            refused = self.allowed(session, actor.person, step_up_id, action)
            if refused is not None:
                return refused
            changed = self.team.change(session, actor, user_id, role)
            if changed is None and (role is None or CHANGE_PAYOUT not in SCOPES[role]):
                self.payouts.cancel_of(session, actor, user_id)
            if changed is None:
                allowed = frozenset() if role is None else SCOPES[role]
                self._keys.end_of(session, actor.store_id, user_id, allowed)
            return changed

    def leave(self, session: Session, closed: Closed) -> None:
        """Let a store that is closed have nobody but its owners, who may read its books: an
        ``Ending``."""
        person = Person(closed.by.user_id, "", "", recovered=False)
        self.payouts.cancel_all(session, person, closed.store.id)
        self.team.leave(session, closed.store.id)
        deed = Deed("store.closed", closed.by.key_id, closed.store.id)
        note(session, person, closed.now_ns, deed)

    def ask_payout(
        self, actor: Actor, wallet: bytes, step_up_id: str, action: Action
    ) -> PayoutChange | Rejection:
        """Write down that a store's money is to go to another wallet, in a day."""
        with transaction(self.database) as session:
            refused = self.allowed(session, actor.person, step_up_id, action)
            if refused is not None:
                return refused
            return self.payouts.ask(session, actor, wallet)

    # -- One's own account -----------------------------------------------------------------------

    def account(self, person: Person) -> Account:
        """Return what a person sees of himself."""
        with reading(self.database) as session:
            user = session.get_one(User, person.user_id)
            keys = select(Passkey).where(Passkey.user_id == user.id).order_by(Passkey.created_ns)
            left = select(func.count()).where(
                RecoveryCode.user_id == user.id, RecoveryCode.hash != ""
            )
            rows = list(session.scalars(keys.limit(PASSKEYS_MAX)))
            return Account(user, rows, session.scalar(left) or 0)

    def rename(self, person: Person, name: str) -> None:
        """Call a person something else."""
        with transaction(self.database) as session:
            user = session.get_one(User, person.user_id)
            note(session, person, self._clock(), Deed("user.renamed", user.id, "", user.name, name))
            user.name = name

    @staticmethod
    def proven_new_passkey(answer: NewPasskey, challenge: bytes, site: Site) -> Made | None:
        """Return a new key that may be kept; None where it is not as asked. Costs milliseconds."""
        return made_key(answer, challenge, site)

    def add_passkey(
        self, person: Person, made: Made, name: str, step_up_id: str, action: Action
    ) -> Rejection | None:
        """Keep a new passkey."""
        with transaction(self.database) as session:
            refused = self.allowed(session, person, step_up_id, action)
            if refused is not None:
                return refused
            count = session.scalar(select(func.count()).where(Passkey.user_id == person.user_id))
            if (count or 0) >= PASSKEYS_MAX or session.get(Passkey, made.credential_id) is not None:
                why = f"it is there already, or there are {PASSKEYS_MAX}"
                return Rejection(Outcome.FORBIDDEN, {"why": why})
            now_ns = self._clock()
            session.add(
                Passkey(
                    id=made.credential_id,
                    user_id=person.user_id,
                    public_key=made.public_key,
                    sign_count=made.sign_count,
                    name=name,
                    created_ns=now_ns,
                    used_ns=now_ns,
                )
            )
            key = made.credential_id.hex()
            note(session, person, now_ns, Deed("passkey.added", key[:32], after=key))
        return None

    def remove_passkey(
        self, person: Person, credential_id: bytes, step_up_id: str, action: Action
    ) -> Rejection | None:
        """Forget a passkey."""
        with transaction(self.database) as session:
            row = session.get(Passkey, credential_id)
            if row is None or row.user_id != person.user_id:
                return Rejection(Outcome.NOT_FOUND, {"why": "you have no such passkey"})
            refused = self.allowed(session, person, step_up_id, action)
            if refused is not None:
                return refused
            session.delete(row)
            key = credential_id.hex()
            note(session, person, self._clock(), Deed("passkey.removed", key[:32], "", key))
        return None

    def add_totp(self, person: Person, step_up_id: str, action: Action) -> str | Rejection:
        """Return a new secret for one-time codes; it counts once a code of it was shown."""
        with transaction(self.database) as session:
            refused = self.allowed(session, person, step_up_id, action)
            if refused is not None:
                return refused
            user = session.get_one(User, person.user_id)
            secret = codes.totp_secret(self._entropy)
            user.totp_sealed = self._sealed.seal(user.id, secret)
            user.totp_confirmed = False
            note(session, person, self._clock(), Deed("totp.asked", user.id))
            return secret

    def confirm_totp(self, person: Person, code: str) -> bool:
        """Let one-time codes count from now on; False where ``code`` is not one of them."""
        step = self._step_of(person.user_id, code)
        with transaction(self.database) as session:
            user = session.get_one(User, person.user_id)
            if step is None or user.totp_confirmed:
                return False
            if not self._take_step(session, person.user_id, step):
                return False
            user.totp_confirmed = True
            note(session, person, self._clock(), Deed("totp.added", user.id))
        return True

    def remove_totp(self, person: Person, step_up_id: str, action: Action) -> Rejection | None:
        """Let one-time codes count no more."""
        with transaction(self.database) as session:
            refused = self.allowed(session, person, step_up_id, action)
            if refused is not None:
                return refused
            user = session.get_one(User, person.user_id)
            user.totp_sealed, user.totp_confirmed = None, False
            note(session, person, self._clock(), Deed("totp.removed", user.id))
        return None

    def keep_codes(
        self, person: Person, hashes: list[str], step_up_id: str, action: Action
    ) -> Rejection | None:
        """Keep new recovery codes; those before count no more."""
        with transaction(self.database) as session:
            refused = self.allowed(session, person, step_up_id, action)
            if refused is not None:
                return refused
            session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == person.user_id))
            session.add_all(
                RecoveryCode(user_id=person.user_id, number=number, hash=kept)
                for number, kept in enumerate(hashes)
            )
            note(session, person, self._clock(), Deed("recovery-codes.made", person.user_id))
        return None

    def new_codes(self) -> tuple[list[str], list[str]]:
        """Return ten new recovery codes and what is kept of them. Costs a third of a second."""
        made = codes.recovery_codes(self._entropy)
        return made, [codes.hashed(code) for code in made]
