"""Where do the contracts live, of which steps is a deployment, and how does it get to a
development chain?

A deployment is a plan of transactions at fixed nonces of one deployer, so each address is known
before anything is sent and each step can be asked "are you done?". Interrupted anywhere, the same
call goes on where it stopped; the record is written last. On a real chain the record is all that
is read.
"""

import json
import os
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, Self

import rlp  # type: ignore[import-untyped]

from settlement.chain.chain import CallRevertedError, Chain, Receipt, Sending
from settlement.chain.signer import Signer, Transaction
from settlement.protocol.abi import encode_call, encode_deployment, selector
from settlement.protocol.checksum import ADDRESS_SIZE
from settlement.protocol.eip712 import Domain, acknowledgements_digest, keccak256

DEPLOY_GAS: Final = 8_000_000
CALL_GAS: Final = 500_000
POLLS_MAX: Final = 10_000

PERMIT2: Final = bytes.fromhex("000000000022d473030f116ddee9f6b43ac78ba3")
"""Permit2 has this address on every chain that has it; where it is not, only that way is shut."""


class DeploymentError(Exception):
    """The contracts could not be deployed, or are not where the record says."""


LEAST_WITHDRAWAL_PIPS: Final = 10**6
"""The least payout of a token of which nobody has said another: a hundredth of it."""


class TokenPlan(NamedTuple):
    """A token to list; ``address`` None deploys an open TestToken for it."""

    name: str
    symbol: str
    decimals: int
    address: bytes | None = None
    least_withdrawal_pips: int = LEAST_WITHDRAWAL_PIPS
    """Less than this is not paid out: it should be worth the gas of a payment."""

    @property
    def unit_scale(self) -> int:
        """Return raw units in one pip if positive, pips in one raw unit if negative."""
        if self.decimals >= 8:
            return int(10 ** (self.decimals - 8))
        return -int(10 ** (8 - self.decimals))


class Delays(NamedTuple):
    """The contract's delays in seconds; see reference of ``Exchange`` for what each guards."""

    horizon: int = 24 * 3600
    exit: int = 48 * 3600
    deadman: int = 72 * 3600
    custodian: int = 96 * 3600


class BondPlan(NamedTuple):
    """What the operator stakes on its word; the deployer is the bond's owner.

    ``signer`` is whose acknowledgements the bond answers for. ``raw_amount`` of the token called
    ``symbol`` is posted by the deployer; zero leaves that for later: anybody may post.
    """

    signer: bytes
    symbol: str
    raw_amount: int


class DeployedToken(NamedTuple):
    """A listed token; numbers on chain are positions in ``Deployment.tokens``."""

    name: str
    symbol: str
    decimals: int
    unit_scale: int
    address: bytes


class Deployment(NamedTuple):
    """Where everything is; ``deploy_block`` is the first block that can hold a log of ours.

    A record from before there were ``collector`` and ``bond`` has them empty.
    """

    chain_id: int
    deploy_block: int
    custodian: bytes
    exchange: bytes
    invoice_deposits: bytes
    invoice_implementation: bytes
    tokens: tuple[DeployedToken, ...]
    collector: bytes = b""
    bond: bytes = b""

    @property
    def domain(self) -> Domain:
        """Return what signatures are bound to."""
        return Domain(self.chain_id, self.exchange)

    @property
    def contracts(self) -> dict[str, bytes]:
        """Return the address of each contract by its name; what there is not has none."""
        named = {
            "exchange": self.exchange,
            "custodian": self.custodian,
            "invoice_deposits": self.invoice_deposits,
            "collector": self.collector,
            "bond": self.bond,
        }
        return {name: address for name, address in named.items() if address}

    @property
    def ours(self) -> frozenset[bytes]:
        """Return whom nobody may pay: what a contract of ours or a listed token holds is lost."""
        tokens = (token.address for token in self.tokens)
        return frozenset((*self.contracts.values(), self.invoice_implementation, *tokens))

    def save(self, path: Path) -> None:
        """Write the record so that a crash leaves the old one or the new one."""
        fields = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in self._asdict().items()
        }
        fields["tokens"] = [
            {**token._asdict(), "address": token.address.hex()} for token in self.tokens
        ]
        aside = path.with_suffix(".new")
        with aside.open("w") as file:
            json.dump(fields, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record. Raises OSError, and ``DeploymentError`` for another kind of file."""
        try:
            fields = json.loads(path.read_text())
            if not isinstance(fields, dict):
                raise TypeError("it is no object")
            tokens = tuple(
                DeployedToken(**{**token, "address": bytes.fromhex(token["address"])})
                for token in fields.pop("tokens")
            )
            addresses = {
                name: bytes.fromhex(value)
                for name, value in fields.items()
                if isinstance(value, str)
            }
            for address in (*addresses.values(), *(token.address for token in tokens)):
                if len(address) not in (0, ADDRESS_SIZE):
                    raise ValueError(f"{address.hex()} is no address")
            for number in (fields["chain_id"], fields["deploy_block"]):
                if type(number) is not int or number < 0:
                    raise ValueError(f"{number!r} is no number of a chain or a block")
            return cls(
                chain_id=fields["chain_id"],
                deploy_block=fields["deploy_block"],
                tokens=tokens,
                **addresses,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DeploymentError(f"{path} is no deployment record: {error}") from error


def connect(chain: Chain, path: Path) -> Deployment:
    """Return the recorded deployment, after checking that this chain has it."""
    deployment = Deployment.load(path)
    if chain.chain_id != deployment.chain_id:
        raise DeploymentError(
            f"{path} is for chain {deployment.chain_id}, the node is on {chain.chain_id}"
        )
    if not chain.code(deployment.exchange):
        raise DeploymentError(f"there is no contract at 0x{deployment.exchange.hex()}")
    for contract in ("Collector", "Bond"):
        address = deployment.contracts.get(contract.lower())
        if address is not None:
            _check_serves(chain, contract, address, deployment.exchange)
    return deployment


def check_acknowledger(chain: Chain, deployment: Deployment, signer: bytes) -> None:
    """Raise ``DeploymentError`` if the bond, where there is one, answers for another key's word, or
    for words in another form than ours: nobody could prove anything by them."""
    if not deployment.bond:
        return
    bonded = chain.call(deployment.bond, encode_call("signer", contract="Bond"))[12:]
    if bonded != signer:
        raise DeploymentError(
            f"the bond answers for the word of 0x{bonded.hex()}, we acknowledge as 0x{signer.hex()}"
        )
    root = keccak256(b"any root")
    asked = encode_call("acknowledgementsDigest", root, contract="Bond")
    try:
        digest = chain.call(deployment.bond, asked)
    except CallRevertedError:
        digest = b""
    if digest != acknowledgements_digest(deployment.domain, root):
        raise DeploymentError(
            f"the bond at 0x{deployment.bond.hex()} is of another build and takes other "
            "acknowledgements than ours: deploy a new one"
        )


def check_operator(chain: Chain, deployment: Deployment, operator: bytes) -> tuple[int, int]:
    """Return the contract's horizon and exit delay in seconds, if it takes batches of ``operator``.

    Raises ``DeploymentError``.
    """
    code = chain.code(deployment.exchange)
    # The digest of an order is asked for by its fields, so its selector tells which those are.
    if selector("settle") not in code or selector("orderDigest") not in code:
        raise DeploymentError(
            f"the exchange at 0x{deployment.exchange.hex()} is of another build and takes other "
            "orders or batches than ours: deploy a new one"
        )
    appointed = chain.call(deployment.exchange, encode_call("operator"))[12:]
    if appointed != operator:
        raise DeploymentError(
            f"the exchange takes batches of 0x{appointed.hex()}, we are 0x{operator.hex()}"
        )
    horizon, exit_delay = (
        int.from_bytes(chain.call(deployment.exchange, encode_call(name)), "big")
        for name in ("horizon", "exitDelay")
    )
    return horizon, exit_delay


def created_address(deployer: bytes, nonce: int) -> bytes:
    """Return the address of the contract that ``deployer`` creates at ``nonce``."""
    return keccak256(bytes(rlp.encode([deployer, nonce])))[12:]


class Plan(Protocol):
    """Takes the steps of a deployment, in order."""

    def create(self, contract: str, code: bytes) -> bytes:
        """Create a ``contract``; return its address."""

    def call(self, name: str, to: bytes, calldata: bytes) -> None:
        """Call function ``name`` of a contract."""


class LaidOut(NamedTuple):
    """Where a plan puts everything."""

    custodian: bytes
    exchange: bytes
    invoice_deposits: bytes
    tokens: tuple[DeployedToken, ...]
    collector: bytes
    bond: bytes


class _Sender:
    """Transactions of one deployer at nonces 0, 1, 2, ...: what is already mined is not sent."""

    def __init__(self, chain: Chain, deployer: Signer) -> None:
        self._chain = chain
        self._deployer = deployer
        self._nonce = 0
        self._mined = chain.nonce(deployer.address, pending=False)

    def create(self, contract: str, code: bytes) -> bytes:
        """See ``Plan``."""
        address = created_address(self._deployer.address, self._nonce)
        self._send(None, code, DEPLOY_GAS)
        if not self._chain.code(address):
            raise DeploymentError(
                f"0x{self._deployer.address.hex()} has used nonce {self._nonce - 1} for something "
                "else: give the deployer an account of its own"
            )
        return address

    def call(self, name: str, to: bytes, calldata: bytes) -> None:
        """See ``Plan``."""
        self._send(to, calldata, CALL_GAS)

    def _send(self, to: bytes | None, calldata: bytes, gas_limit: int) -> None:
        nonce, self._nonce = self._nonce, self._nonce + 1
        if nonce < self._mined:
            return
        tip = 10**9
        fee = 2 * self._chain.base_fee() + tip
        raw = self._deployer.sign_transaction(
            Transaction(self._chain.chain_id, nonce, to, calldata, gas_limit, fee, tip)
        )
        sent = self._chain.send_raw(raw)
        if sent.sending not in (Sending.ACCEPTED, Sending.ALREADY_KNOWN):
            raise DeploymentError(f"deployment transaction {nonce} was refused: {sent.reason}")
        receipt = self._wait(keccak256(raw))
        if not receipt.succeeded:
            raise DeploymentError(f"deployment transaction {nonce} reverted")

    def _wait(self, tx_hash: bytes) -> Receipt:
        for _ in range(POLLS_MAX):
            receipt = self._chain.receipt(tx_hash)
            if receipt is not None:
                return receipt
        raise DeploymentError(f"0x{tx_hash.hex()} was not mined")


def deploy(
    chain: Chain,
    path: Path,
    deployer: Signer,
    operator: bytes,
    tokens: tuple[TokenPlan, ...],
    delays: Delays,
    bond: BondPlan,
) -> Deployment:
    """Return the deployment recorded at ``path``; deploy it first where there is none.

    ``deployer`` becomes admin, receiver of fees and owner of the bond. Its account must be used for
    nothing else: that is what makes this safe to repeat, and what adds to a record that an older
    version wrote what it lacks. For chains that mine at once. Raises ``DeploymentError``.
    """
    if path.exists():
        recorded = connect(chain, path)
        if recorded.bond:
            return recorded
    found = lay_out(_Sender(chain, deployer), deployer.address, operator, tokens, delays, bond)
    # An embedded chain is short: reading it from the start costs nothing.
    deployment = wired(chain, found, first_block=0)
    check_bonded(chain, found.bond, bond)
    deployment.save(path)
    return deployment


def lay_out(
    plan: Plan,
    admin: bytes,
    operator: bytes,
    tokens: tuple[TokenPlan, ...],
    delays: Delays,
    bond: BondPlan,
) -> LaidOut:
    """Give ``plan`` every step of a deployment; return where everything is then."""
    custodian = _create(plan, "Custodian", admin, delays.custodian)
    waits = (delays.horizon, delays.exit, delays.deadman)
    exchange = _create(plan, "Exchange", admin, operator, admin, custodian, *waits)
    _call(plan, "Custodian", custodian, "proposeExchange", exchange)
    _call(plan, "Custodian", custodian, "appointExchange")
    factory = _create(plan, "InvoiceDeposits", exchange)
    listed = tuple(_list(plan, exchange, token) for token in tokens)
    collector = _create(plan, "Collector", exchange, PERMIT2)
    bonded = _bond(plan, admin, exchange, bond, tokens, listed)
    return LaidOut(custodian, exchange, factory, listed, collector, bonded)


def wired(chain: Chain, found: LaidOut, first_block: int) -> Deployment:
    """Return the deployment, after holding what is on chain against the plan: a step that an
    earlier run sent may have reverted. Raises ``DeploymentError``."""
    asked = encode_call("implementation", contract="InvoiceDeposits")
    _check_wiring(chain, found.custodian, found.exchange, found.tokens)
    return Deployment(
        chain_id=chain.chain_id,
        deploy_block=first_block,
        custodian=found.custodian,
        exchange=found.exchange,
        invoice_deposits=found.invoice_deposits,
        invoice_implementation=chain.call(found.invoice_deposits, asked)[12:],
        tokens=found.tokens,
        collector=found.collector,
        bond=found.bond,
    )


def _check_wiring(
    chain: Chain, custodian: bytes, exchange: bytes, tokens: tuple[DeployedToken, ...]
) -> None:
    """Hold the chain against the plan: a step that an earlier run sent may have reverted."""
    if chain.call(custodian, encode_call("exchange", contract="Custodian"))[12:] != exchange:
        raise DeploymentError("the custodian does not serve the exchange")
    for number, token in enumerate(tokens):
        answer = chain.call(exchange, encode_call("tokenNumber", token.address))
        if int.from_bytes(answer, "big") != number:
            raise DeploymentError(f"{token.symbol} is not token number {number}")


def _check_serves(chain: Chain, contract: str, address: bytes, exchange: bytes) -> None:
    try:
        answer = chain.call(address, encode_call("exchange", contract=contract))
    except CallRevertedError:
        answer = b""
    if answer[12:] != exchange:
        raise DeploymentError(f"the {contract} at 0x{address.hex()} does not serve the exchange")


def check_bonded(chain: Chain, address: bytes, bond: BondPlan) -> None:
    """Raise ``DeploymentError`` if the bond has less than was planned."""
    answer = chain.call(address, encode_call("bonded", contract="Bond"))
    if int.from_bytes(answer, "big") < bond.raw_amount:
        raise DeploymentError(f"the bond at 0x{address.hex()} does not have what was planned")


def _bond(
    plan: Plan,
    owner: bytes,
    exchange: bytes,
    bond: BondPlan,
    tokens: tuple[TokenPlan, ...],
    listed: tuple[DeployedToken, ...],
) -> bytes:
    """Create the bond and post what is planned; a test token is minted for it first."""
    place = [planned.symbol for planned in tokens].index(bond.symbol)
    token = listed[place].address
    address = _create(plan, "Bond", exchange, token, bond.signer, owner)
    if not bond.raw_amount:
        return address
    if tokens[place].address is None:
        _call(plan, "TestToken", token, "mint", owner, bond.raw_amount)
    _call(plan, "TestToken", token, "approve", address, bond.raw_amount)
    _call(plan, "Bond", address, "post", bond.raw_amount)
    return address


def _list(plan: Plan, exchange: bytes, token: TokenPlan) -> DeployedToken:
    address = token.address or _create(plan, "TestToken", token.name, token.symbol, token.decimals)
    _call(plan, "Exchange", exchange, "listToken", address, token.unit_scale)
    return DeployedToken(token.name, token.symbol, token.decimals, token.unit_scale, address)


def _create(plan: Plan, contract: str, *args: Any) -> bytes:
    return plan.create(contract, encode_deployment(contract, *args))


def _call(plan: Plan, contract: str, to: bytes, name: str, *args: Any) -> None:
    plan.call(name, to, encode_call(name, *args, contract=contract))
