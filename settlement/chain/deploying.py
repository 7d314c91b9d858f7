"""How do the contracts get to a chain of others, whatever happens on the way?

The steps are those of ``settlement.chain.deploy``, at nonces that follow each other, so a second
run sees by the account's nonce which of them are done and sends none twice. What must not change
between two runs is written down, and on disk, before anything is sent: first nonce, first block,
and a hash of all the steps. The record is written last, when every step is as deep as was asked,
the code on chain is ours and everything is wired as planned.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from settlement.chain.chain import CallRevertedError, Chain, Sending
from settlement.chain.code_check import code_hash, is_code_of
from settlement.chain.deploy import (
    BondPlan,
    Delays,
    Deployment,
    DeploymentError,
    LaidOut,
    TokenPlan,
    check_bonded,
    check_operator,
    connect,
    created_address,
    lay_out,
    wired,
)
from settlement.chain.signer import TRANSACTION_GAS_MAX, Signer, Transaction
from settlement.protocol.abi import artifact, encode_call
from settlement.protocol.eip712 import keccak256

GWEI: Final = 10**9
CREATE_GAS: Final = 60_000
"""What a creation costs beside its code, as far as we guess where the node cannot say."""

CODE_BYTE_GAS: Final = 200
CALLDATA_BYTE_GAS: Final = 16
CALL_GAS: Final = 130_000
"""More than any call of a deployment has used; said only where the node cannot say yet."""

ROUNDS_MAX: Final = 3
"""So often are steps sent again that a reorganisation has taken away."""


class EstimatingChain(Chain, Protocol):
    """A chain that tells what a transaction would use."""

    def estimate_gas(self, sender: bytes, to: bytes | None, calldata: bytes) -> int:
        """Return the gas that it would use now. Raises ``CallRevertedError``."""


class DeployPlan(NamedTuple):
    """What is deployed."""

    operator: bytes
    tokens: tuple[TokenPlan, ...]
    delays: Delays
    bond: BondPlan


class Terms(NamedTuple):
    """How it is sent: ``pause`` waits between two looks at the chain, ``polls_max`` is how often it
    is looked at for one step, or for its confirmations."""

    confirmations: int
    tip_wei: int
    fee_max_wei: int
    """Dearer gas than this is not paid for."""

    pause: Callable[[], None]
    polls_max: int


class Step(NamedTuple):
    """One transaction. ``contract`` is what it creates, empty for a call; ``at`` is where."""

    name: str
    to: bytes | None
    calldata: bytes
    contract: str
    at: bytes


class Estimate(NamedTuple):
    """What is left to do and costs. ``is_guessed`` if the node could not say it of each step."""

    steps: int
    done: int
    gas: int
    gas_price_wei: int
    balance_wei: int
    is_guessed: bool

    @property
    def cost_wei(self) -> int:
        """Return what it costs at the present price of gas."""
        return self.gas * self.gas_price_wei


class _Script:
    """Collects the steps (``settlement.chain.deploy.Plan``)."""

    def __init__(self, deployer: bytes, first_nonce: int) -> None:
        self._deployer, self._nonce = deployer, first_nonce
        self.steps: list[Step] = []

    def create(self, contract: str, code: bytes) -> bytes:
        """See ``Plan``."""
        address = created_address(self._deployer, self._nonce + len(self.steps))
        self.steps.append(Step(f"create {contract}", None, code, contract, address))
        return address

    def call(self, name: str, to: bytes, calldata: bytes) -> None:
        """See ``Plan``."""
        self.steps.append(Step(name, to, calldata, "", to))


class _Begun(NamedTuple):
    """What two runs have to agree on."""

    chain_id: int
    deployer: str
    first_nonce: int
    first_block: int
    steps_hash: str


class Deploying:
    """One deployment, from its plan to its record at ``path``."""

    def __init__(
        self, chain: EstimatingChain, path: Path, deployer: Signer, plan: DeployPlan, terms: Terms
    ) -> None:
        """Raises ``DeploymentError`` where an earlier run had another plan, and OSError."""
        self._chain, self._path, self._deployer = chain, path, deployer
        self._plan, self._terms = plan, terms
        self._aside = path.with_name(path.name + ".begun")
        known = _read(self._aside)
        self._first_nonce = chain.nonce(deployer.address, pending=False)
        self._first_block = chain.head().number
        if known is not None:
            self._first_nonce, self._first_block = known.first_nonce, known.first_block
        script = _Script(deployer.address, self._first_nonce)
        self._found: LaidOut = lay_out(script, deployer.address, *plan)
        self.steps = script.steps
        wanted = _Begun(
            chain.chain_id,
            deployer.address.hex(),
            self._first_nonce,
            self._first_block,
            keccak256(repr(self.steps).encode()).hex(),
        )
        if known is not None and known != wanted:
            raise DeploymentError(
                f"{self._aside} was begun by another plan, key or chain: go on with those, or move "
                "it away to begin anew, with other contracts"
            )
        self._begun = wanted

    @property
    def _end(self) -> int:
        return self._first_nonce + len(self.steps)

    def _done(self) -> int:
        mined = self._chain.nonce(self._deployer.address, pending=False)
        if mined > self._end:
            raise DeploymentError(
                f"0x{self._deployer.address.hex()} has sent something else since: give the "
                f"deployer an account of its own, and move {self._aside} away to begin anew"
            )
        return max(mined - self._first_nonce, 0)

    def estimate(self) -> Estimate:
        """Return what is left and what it costs; nothing is sent."""
        done, gas, is_guessed = self._done(), 0, False
        for step in self.steps[done:]:
            try:
                gas += self._chain.estimate_gas(self._deployer.address, step.to, step.calldata)
            except CallRevertedError:
                # It stands on steps that are not done yet.
                gas, is_guessed = gas + _guess(step), True
        price = self._chain.base_fee() + self._terms.tip_wei
        balance = self._chain.balance(self._deployer.address)
        return Estimate(len(self.steps), done, gas, price, balance, is_guessed)

    def run(self, say: Callable[[str], None]) -> Deployment:
        """Send what is not done, wait, check everything, write the record.

        Raises ``DeploymentError`` and ``ChainUnavailableError``; the same again goes on.
        """
        _write(self._aside, self._begun)
        for _ in range(ROUNDS_MAX):
            for number in range(self._done(), len(self.steps)):
                self._send(number, say)
            if self._is_deep():
                break
            say("a reorganisation took steps away; they are sent again")
        else:
            raise DeploymentError("the chain does not stand still; run it again later")
        deployment = wired(self._chain, self._found, self._first_block)
        check_bonded(self._chain, self._found.bond, self._plan.bond)
        check(self._chain, deployment, self._deployer.address, self._plan)
        deployment.save(self._path)
        self._aside.unlink(missing_ok=True)
        return deployment

    def _send(self, number: int, say: Callable[[str], None]) -> None:
        step, nonce = self.steps[number], self._first_nonce + number
        where = f"{number + 1} of {len(self.steps)}, {step.name}"
        fee = 2 * self._chain.base_fee() + self._terms.tip_wei
        if fee > self._terms.fee_max_wei > 0:
            fee = self._terms.fee_max_wei
            if self._chain.base_fee() + self._terms.tip_wei > fee:
                raise DeploymentError(f"{where}: gas is dearer than {fee // GWEI} gwei now")
        try:
            used = self._chain.estimate_gas(self._deployer.address, step.to, step.calldata)
        except CallRevertedError as refused:
            if self._chain.nonce(self._deployer.address, pending=False) > nonce:
                return  # Another run of us was faster.
            raise DeploymentError(f"{where}: it would revert, {refused.reason}") from None
        limit = min(used + (used >> 2), TRANSACTION_GAS_MAX)
        raw = self._deployer.sign_transaction(
            Transaction(
                self._chain.chain_id,
                *(nonce, step.to, step.calldata, limit, fee, self._terms.tip_wei),
            )
        )
        sent = self._chain.send_raw(raw)
        # Of a run before us it may be in the pool, or in a block already: the nonce is used once.
        if sent.sending is Sending.REJECTED:
            raise DeploymentError(f"{where}: the node refuses it, {sent.reason}")
        say(f"{where}: sent, {used} gas expected, 0x{keccak256(raw).hex()}")
        self._wait(step, nonce, keccak256(raw), where)

    def _wait(self, step: Step, nonce: int, tx_hash: bytes, where: str) -> None:
        for _ in range(self._terms.polls_max):
            receipt = self._chain.receipt(tx_hash)
            if receipt is not None and not receipt.succeeded:
                raise DeploymentError(
                    f"{where}: reverted. Nothing can stand on this: move {self._aside} away to "
                    "begin anew"
                )
            is_mined = self._chain.nonce(self._deployer.address, pending=False) > nonce
            if is_mined and (not step.contract or self._chain.code(step.at)):
                return
            self._terms.pause()
        raise DeploymentError(f"{where}: not in a block yet; run it again, it goes on")

    def _is_deep(self) -> bool:
        """Wait until all steps have their confirmations; return whether all are still there."""
        mined_at = self._chain.head().number
        for _ in range(self._terms.polls_max):
            if self._chain.head().number >= mined_at + self._terms.confirmations - 1:
                return self._done() == len(self.steps)
            self._terms.pause()
        raise DeploymentError("too few confirmations yet; run it again, it goes on")


def check(chain: Chain, deployment: Deployment, admin: bytes, plan: DeployPlan) -> None:
    """Hold code and constants on chain against ours. Raises ``DeploymentError``."""
    check_operator(chain, deployment, plan.operator)
    for contract, address in code_of(deployment).items():
        if not is_code_of(contract, chain.code(address)):
            raise DeploymentError(f"what is at 0x{address.hex()} is not our {contract}")
    delays, exchange = plan.delays, deployment.exchange
    wanted = {
        "admin": int.from_bytes(admin, "big"),
        "custodian": int.from_bytes(deployment.custodian, "big"),
        "horizon": delays.horizon,
        "exitDelay": delays.exit,
        "deadmanDelay": delays.deadman,
    }
    for name, value in wanted.items():
        found = int.from_bytes(chain.call(exchange, encode_call(name)), "big")
        if found != value:
            raise DeploymentError(f"{name} of the exchange is {found:#x}, planned was {value:#x}")
    for number, token in enumerate(deployment.tokens):
        answer = chain.call(exchange, encode_call("tokens", number))
        scale = int.from_bytes(answer[32:64], "big", signed=True)
        if (answer[12:32], scale) != (token.address, token.unit_scale):
            raise DeploymentError(f"token {number} is not {token.symbol} as planned")


def code_of(deployment: Deployment) -> dict[str, bytes]:
    """Return where each contract of ours is, by its name in the sources."""
    return {
        "Custodian": deployment.custodian,
        "Exchange": deployment.exchange,
        "InvoiceDeposits": deployment.invoice_deposits,
        "InvoiceAddress": deployment.invoice_implementation,
        "Collector": deployment.collector,
        "Bond": deployment.bond,
    }


def hashes(chain: Chain, deployment: Deployment) -> dict[str, str]:
    """Return the hash of each contract's code on chain, in hexadecimal digits."""
    return {name: code_hash(chain, at).hex() for name, at in code_of(deployment).items()}


def deployed_before(chain: Chain, path: Path, admin: bytes, plan: DeployPlan) -> Deployment | None:
    """Return the deployment that ``path`` records, checked; None if there is no record."""
    if not path.exists():
        return None
    deployment = connect(chain, path)
    check(chain, deployment, admin, plan)
    return deployment


def _guess(step: Step) -> int:
    gas = CALLDATA_BYTE_GAS * len(step.calldata)
    if not step.contract:
        return gas + CALL_GAS
    return gas + CREATE_GAS + CODE_BYTE_GAS * artifact(step.contract).code_size


def _read(path: Path) -> _Begun | None:
    try:
        return _Begun(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise DeploymentError(f"{path} is no note of a deployment: {error}") from error


def _write(path: Path, begun: _Begun) -> None:
    aside = path.with_name(path.name + ".new")
    with aside.open("w") as file:
        json.dump(begun._asdict(), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
