"""Whose browser is this, and did a page of ours make it ask?

A session is a cookie that no script reads and no other site's page sends (``HttpOnly``,
``SameSite=Strict``). What changes something must also come from our own origin, with a body of
JSON: a form of another site can do neither. What proves who somebody is costs milliseconds: it is
charged before it runs, on few threads, and whoever was wrong too often waits.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, ParamSpec, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, Header, Path, Request, Response

from engine.types import Outcome
from gateway.api.key_holders import SAFE
from gateway.http.clients import Clients
from gateway.trading.budgets import RateLimits, ShopLimits
from gateway.trading.networks import network_of, prefix_of
from gateway.trading.rejection import Rejection
from gateway.trading.siwe_logon import Nonces
from merchants.people.passkeys import Site
from merchants.people.people import People
from merchants.people.roles import Actor, Person
from merchants.people.sessions import LIFE_S, Opened, Origin
from merchants.records import rejection
from settlement.protocol.eip712 import Domain

LOOPBACK: Final = "127.0.0.1"
LOOPBACK_NAME: Final = "localhost"
THREADS: Final = 2
WAITING_MAX: Final = 64
"""Proofs that wait for a thread; more are turned away."""

COOKIE: Final = "tillbook_session"
PURPOSE: Final = ":dashboard"
"""Behind the resource of a message that opens a session here: one signed to trade opens none."""

PATH: Final = "/dashboard"

Found = TypeVar("Found")
Given = ParamSpec("Given")


class Work:
    """Few threads for what costs milliseconds, with a bound on what waits for them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "people")
        self._waiting = 0

    def ask(
        self, question: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        """Return what ``question`` finds; raises OVERLOADED where too many wait already."""
        if self._waiting >= WAITING_MAX:
            raise Rejection(Outcome.OVERLOADED, "too many sign in at once", retry_after=1)
        self._waiting += 1
        asked = get_running_loop().run_in_executor(self._pool, partial(question, *given, **named))
        asked.add_done_callback(self._done)
        return asked

    def _done(self, _: Future[Any]) -> None:
        self._waiting -= 1


class Gate(NamedTuple):
    """What people's routes answer from. ``public_url`` is where browsers reach us."""

    people: People
    domain: Domain
    operator_token: str
    public_url: str
    limits: RateLimits
    clients: Clients
    nonces: Nonces
    now_ns: Callable[[], int]
    proofs: Work
    reads: Work
    wallets: Work
    """Where wallets that are contracts are asked: a node that is slow holds up nobody else."""

    kept: ShopLimits
    """Who leaves rows for good by what costs no proof is charged here, as shops are."""

    async def known(self, request: Request) -> None:
        """Let the routes of ``request`` find us; a dependency of the router."""
        request.state.gate = self

    @property
    def sites(self) -> tuple[Site, ...]:
        """Return where our pages are: on this machine alone also under its name, for passkeys are
        for names and never for addresses."""
        url = urlsplit(self.public_url)
        host = url.hostname or ""
        here = Site(f"{url.scheme}://{url.netloc}", host)
        if host != LOOPBACK:
            return (here,)
        named = url.netloc.replace(LOOPBACK, LOOPBACK_NAME, 1)
        return here, Site(f"{url.scheme}://{named}", LOOPBACK_NAME)

    def site_of(self, request: Request) -> Site:
        """Return which of our sites the browser is at."""
        host = request.headers.get("host", "").lower()
        sites = self.sites
        return next((site for site in sites if urlsplit(site.origin).netloc == host), sites[0])

    @property
    def cookie(self) -> str:
        """Return the cookie's name; browsers keep what the prefix promises."""
        return f"__Host-{COOKIE}" if self.public_url.startswith("https:") else COOKIE

    def origin_of(self, request: Request) -> Origin:
        """Return from where somebody asks, as it is written down."""
        agent = request.headers.get("user-agent", "")
        shown = "".join(letter for letter in agent if letter.isprintable())
        return Origin(prefix_of(self.clients.of(request)), shown)

    def charge_proof(self, request: Request, weight: int = 1) -> str:
        """Charge a proof before it is looked at; return the network that asks. Whoever was wrong
        too often waits."""
        client = self.clients.of(request)
        self.limits.proof(client, weight)
        network = network_of(client)
        self.hold_up(self.people.guesses.wait_s(network))
        return network

    @staticmethod
    def hold_up(wait_s: int) -> None:
        """Reject whoever has to wait; raises RATE_LIMITED."""
        if wait_s:
            raise Rejection(
                Outcome.RATE_LIMITED,
                f"wrong too often; try again in {wait_s} s",
                {"retry_after": str(wait_s)},
                wait_s,
            )

    def keep(self, response: Response, opened: Opened) -> None:
        """Put a session's token into the browser."""
        response.set_cookie(
            self.cookie,
            opened.token,
            max_age=LIFE_S,
            path="/",
            secure=self.public_url.startswith("https:"),
            httponly=True,
            samesite="strict",
        )

    def forget(self, response: Response) -> None:
        """Take a session's token out of the browser."""
        secure = self.public_url.startswith("https:")
        response.delete_cookie(
            self.cookie, path="/", secure=secure, httponly=True, samesite="strict"
        )


async def _gate(request: Request) -> Gate:
    gate = request.state.gate
    assert isinstance(gate, Gate), "people_router puts it there"
    return gate


AtGate = Annotated[Gate, Depends(_gate)]


async def same_origin(request: Request, gate: AtGate) -> None:
    """Reject what would change something and does not come from a page of ours."""
    if request.method in SAFE:
        return
    origin = request.headers.get("origin", "")
    fetch_site = request.headers.get("sec-fetch-site", "same-origin")
    if origin not in {site.origin for site in gate.sites} or fetch_site != "same-origin":
        raise Rejection(Outcome.FORBIDDEN, "only our own pages may ask this")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method != "DELETE" and kind != "application/json":
        raise Rejection(Outcome.MALFORMED, "the body is application/json")


async def person_of(request: Request, gate: Gate) -> Person | None:
    """Return whose session the request's cookie is of; None where there is none."""
    token = request.cookies.get(gate.cookie, "")
    if not token:
        return None
    network = prefix_of(gate.clients.of(request))
    seen = await gate.reads.ask(gate.people.sessions.read, token, network)
    if seen is None:
        return None
    if seen.is_stale:
        gate.people.sessions.touch(seen.person.session_id)
    return seen.person


async def signed_in(request: Request, gate: AtGate) -> Person:
    """Return who asks, once the body of what changes something is here: that may take half a
    minute, in which sessions and roles end. Raises NOT_AUTHENTICATED."""
    person = await person_of(request, gate)
    if person is not None and request.method not in SAFE:
        await request.body()
        person = await person_of(request, gate)
    if person is None:
        raise Rejection(Outcome.NOT_AUTHENTICATED, "sign in first: POST /v1/people/sessions/...")
    return person


SignedInPerson = Annotated[Person, Depends(signed_in)]
Id = Annotated[str, Path(max_length=64, pattern="^[A-Za-z0-9_-]*$")]


async def actor_in(gate: Gate, person: Person, store_id: str) -> Actor:
    """Return what a person is in a store; a store that is not his is not there."""
    actor = await gate.reads.ask(gate.people.team.actor, person, store_id)
    if actor is None:
        raise Rejection(Outcome.NOT_FOUND)
    return actor


async def _actor(gate: AtGate, person: SignedInPerson, store_id: Id) -> Actor:
    return await actor_in(gate, person, store_id)


InStore = Annotated[Actor, Depends(_actor)]


def needing(scope: str) -> Callable[[Actor], Any]:
    """Return a dependency that gives the actor, if he has ``scope``."""

    async def allowed(actor: InStore) -> Actor:
        require(actor, scope)
        return actor

    return allowed


def require(actor: Actor, scope: str) -> None:
    """Reject whoever lacks ``scope``."""
    if not actor.may(scope):
        raise Rejection(Outcome.FORBIDDEN, f"this takes the permission {scope}")


StepUpId = Annotated[str, Header(alias="Step-Up", max_length=64)]
"""Which challenge, answered, has confirmed what is asked for."""


def accepted(answer: Found | rejection.Rejection | None) -> Found:
    """Return what was asked for; raises what it was refused for."""
    if isinstance(answer, rejection.Rejection):
        raise refused(answer)
    assert answer is not None, "it is an answer or a rejection"
    return answer


def refused(answer: rejection.Rejection) -> Rejection:
    """Return the gateway's form of a rejection."""
    figures = dict(answer.detail)
    wait = figures.get("retry_after", "")
    return Rejection(
        answer.outcome, figures.pop("why", ""), figures, int(wait) if wait.isdigit() else None
    )
