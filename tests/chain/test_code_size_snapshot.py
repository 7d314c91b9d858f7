"""Is any contract more than one percent larger than the committed snapshot, or too large to deploy?

The snapshot is written by hand, so that whoever lets a contract grow has said so in a commit.
"""

import json

import pytest

from settlement.chain.dev.devchain import start_devchain
from settlement.contracts import build_artifacts
from tests.chain.conftest import Clock
from tests.chain.venue import deployed

SNAPSHOT = build_artifacts.HERE / "snapshots" / "code_size.json"
KNOWN: dict[str, int] = json.loads(SNAPSHOT.read_text())


def too_large(sizes: dict[str, int], known: dict[str, int]) -> list[str]:
    """Return what is wrong with ``sizes`` of deployed code, in words."""
    over = [
        f"{name}: {size} bytes, more than 1 % above {known[name]}; if it has to be, say so in "
        f"{SNAPSHOT.name}"
        for name, size in sizes.items()
        if 100 * size > 101 * known[name]
    ]
    return over + [
        f"{name}: {size} bytes, a chain takes {build_artifacts.CODE_SIZE_MAX}"
        for name, size in sizes.items()
        if size > build_artifacts.CODE_SIZE_MAX
    ]


@pytest.fixture(scope="module")
def on_chain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Size of the code that a deployment puts on a chain, by contract."""
    directory = tmp_path_factory.mktemp("sizes")
    with start_devchain(directory / "chain", "eth-tester", Clock()) as devchain:
        found = deployed(devchain.chain, directory)
        addresses = {
            "Exchange": found.exchange,
            "Custodian": found.custodian,
            "Collector": found.collector,
            "InvoiceDeposits": found.invoice_deposits,
            "InvoiceAddress": found.invoice_implementation,
            "Bond": found.bond,
            "TestToken": found.tokens[0].address,
        }
        return {name: len(devchain.chain.code(address)) for name, address in addresses.items()}


def test_no_contract_has_outgrown_its_snapshot(on_chain: dict[str, int]):
    assert on_chain.keys() == KNOWN.keys() == set(build_artifacts.DEPLOYED)
    assert too_large(on_chain, KNOWN) == []


@pytest.mark.parametrize("name", build_artifacts.DEPLOYED)
def test_the_size_that_an_artifact_tells_is_that_of_the_code_on_chain(
    name: str, on_chain: dict[str, int]
):
    stored = json.loads((build_artifacts.ARTIFACTS / f"{name}.json").read_text())
    assert stored["code_size"] == on_chain[name]


def test_growth_is_found_at_its_bound():
    known = {"Small": 1_000, "Full": build_artifacts.CODE_SIZE_MAX}

    assert too_large({"Small": 1_010, "Full": known["Full"]}, known) == []
    assert too_large({"Small": 1_011}, known)[0].startswith("Small: 1011 bytes, more than 1 %")
    (told,) = too_large({"Full": known["Full"] + 1}, known)
    assert told == "Full: 24577 bytes, a chain takes 24576"
