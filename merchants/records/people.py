"""Which rows say who people are, what they may do, and what they did?

Nothing here opens a door by itself: of tokens and codes there are hashes, of passkeys public keys,
and the secret of one-time codes is sealed with a key that is not in the database. Audit rows are
only ever added. Times are unix nanoseconds.
"""

from typing import Final

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table

PAYOUT_WAITS: Final = text("state = 'waiting'")

_dense_id = BigInteger().with_variant(Integer(), "sqlite")


class User(Table):
    """A person. ``wallet`` is the one that he signs in with; ``totp_step`` is the last time step of
    which a code was taken, so that none is taken twice."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_ns: Mapped[int]
    name: Mapped[str]
    wallet: Mapped[bytes | None] = mapped_column(unique=True)
    totp_sealed: Mapped[bytes | None]
    totp_confirmed: Mapped[bool] = mapped_column(default=False)
    totp_step: Mapped[int] = mapped_column(default=0)


class Membership(Table):
    """What a person is to a store; ``role`` is a word of ``merchants.people.roles.Role``."""

    __tablename__ = "memberships"
    __table_args__ = (Index("memberships_by_user", "user_id"),)

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str]
    created_ns: Mapped[int]


class Passkey(Table):
    """A credential of WebAuthn. ``sign_count`` is 0 for ever where its maker does not count."""

    __tablename__ = "passkeys"
    __table_args__ = (Index("passkeys_by_user", "user_id"),)

    id: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    public_key: Mapped[bytes]
    sign_count: Mapped[int]
    name: Mapped[str]
    created_ns: Mapped[int]
    used_ns: Mapped[int]


class RecoveryCode(Table):
    """One of a person's ten; ``hash`` is argon2id's own text, empty once the code was used."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str]


class SignIn(Table):
    """An open session. ``recovered`` says that it began with a recovery code."""

    __tablename__ = "sign_ins"
    __table_args__ = (
        Index("sign_ins_by_user", "user_id", "created_ns"),
        Index("sign_ins_by_end", "ends_ns"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created_ns: Mapped[int]
    used_ns: Mapped[int]
    ends_ns: Mapped[int]
    network: Mapped[str]
    agent: Mapped[str]
    recovered: Mapped[bool]


class Invitation(Table):
    """Whoever has the token may join the store in that role, once."""

    __tablename__ = "invitations"
    __table_args__ = (Index("invitations_by_store", "store_id"),)

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    role: Mapped[str]
    invited_by: Mapped[str]
    created_ns: Mapped[int]
    ends_ns: Mapped[int]


class StepUp(Table):
    """One action that a person was asked to confirm. ``needs`` are words, space separated;
    ``message`` is what his wallet signs, empty where it need not."""

    __tablename__ = "step_ups"
    __table_args__ = (Index("step_ups_by_user", "user_id"), Index("step_ups_by_end", "ends_ns"))

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    session_id: Mapped[str]
    kind: Mapped[str]
    action_hash: Mapped[bytes]
    needs: Mapped[str]
    challenge: Mapped[bytes]
    message: Mapped[str]
    ends_ns: Mapped[int]
    granted: Mapped[bool] = mapped_column(default=False)
    tries: Mapped[int] = mapped_column(default=0)


class PayoutChange(Table):
    """Another wallet for a store's money; ``state``: waiting, cancelled, done or refused."""

    __tablename__ = "payout_changes"
    __table_args__ = (
        Index("payout_changes_by_store", "store_id", "asked_ns"),
        Index(
            "payout_changes_waiting",
            "due_ns",
            sqlite_where=PAYOUT_WAITS,
            postgresql_where=PAYOUT_WAITS,
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    wallet: Mapped[bytes]
    asked_by: Mapped[str]
    asked_ns: Mapped[int]
    due_ns: Mapped[int]
    state: Mapped[str]
    ended_by: Mapped[str] = mapped_column(default="")
    ended_ns: Mapped[int] = mapped_column(default=0)
    why: Mapped[str] = mapped_column(default="")


class AuditRow(Table):
    """Something that was done: by whom, from which network, to what, and hashes of it before and
    after. ``store_id`` is empty for what a person does to his own account; ``times`` is how often
    it was done, where a day has seen too much of it for a row each."""

    __tablename__ = "audit_rows"
    __table_args__ = (
        Index("audit_rows_by_store", "store_id", "id"),
        Index("audit_rows_by_user", "user_id", "id"),
        Index("audit_rows_by_user_and_kind", "user_id", "kind", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_dense_id, primary_key=True)
    at_ns: Mapped[int]
    store_id: Mapped[str]
    user_id: Mapped[str]
    network: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    before_hash: Mapped[bytes]
    after_hash: Mapped[bytes]
    times: Mapped[int] = mapped_column(default=1, server_default="1")
