"""What is proven about the contracts, and what does static analysis find? Run by ``make prove``.

halmos proves the functions of ``test/proofs`` for all inputs; slither's findings are held to the
triage below, so a new one fails. Both live in an environment of their own, because halmos pins
versions that we do not. They work on a copy: both rebuild the project with settings of their own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
TOOLS: Final = Path(sys.executable).parent
SOLVER_TIMEOUT_MS: Final = 60_000


class Explained(NamedTuple):
    """How often a detector may speak, and why that is no fault."""

    times: int
    why: str


TRIAGE: Final = {
    "incorrect-exp": Explained(
        1, "`index ^ 1` names a leaf's sibling; exclusive or is what is meant"
    ),
    "divide-before-multiply": Explained(
        1, "an exit is rounded down to whole raw units, and only these are taken off the balance"
    ),
    "incorrect-equality": Explained(
        7, "flags, nonces and zero amounts; a wei from others makes at most a payout of a wei"
    ),
    "uninitialized-local": Explained(3, "zero is the intended start of counters and structs"),
    "unused-return": Explained(
        4, "one of several values is asked for; a clone's address is known before it is made"
    ),
    "shadowing-local": Explained(3, "names of parameters in an interface, where nothing is read"),
    "reentrancy-events": Explained(
        2, "an event after sweep or rescue, whose amount is only known then; it guards nothing"
    ),
    "timestamp": Explained(
        13, "delays of hours and days; a block's time can be wrong by seconds, and is allowed to"
    ),
}


def tool_environment() -> dict[str, str]:
    """Return an environment in which both tools find forge and each other."""
    forge = next((HERE / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"), None)
    if forge is None:
        raise SystemExit("needs forge from npm: run make once on a machine that has it")
    path = os.pathsep.join([str(TOOLS), str(forge.parent), os.environ["PATH"]])
    # As all proofs were made so far; `make test` does without, to spare itself the compiler's time.
    optimised = {"FOUNDRY_OPTIMIZER": "true", "FOUNDRY_OPTIMIZER_RUNS": "4000"}
    return os.environ | {"PATH": path} | optimised


def copied(into: Path, *, with_tests: bool) -> Path:
    """Copy the project without what was built; dependencies are linked."""
    project = into / "contracts"
    shutil.copytree(HERE / "src", project / "src")
    if with_tests:
        shutil.copytree(HERE / "test" / "proofs", project / "test" / "proofs")
    for name in ("foundry.toml", "solcw"):
        shutil.copy(HERE.joinpath(name), project.joinpath(name))
    (project / "node_modules").symlink_to(HERE / "node_modules")
    return project


def prove(project: Path, environment: dict[str, str]) -> list[str]:
    """Run halmos; print each proof and return those that do not hold."""
    told = project / "proofs.json"
    subprocess.run(
        [
            "halmos",
            "--contract=Proofs",
            "--function=check_",
            f"--solver-timeout-assertion={SOLVER_TIMEOUT_MS}",
            f"--json-output={told}",
        ],
        cwd=project,
        env=environment,
        capture_output=True,
        check=False,
    )
    results = [
        result
        for results in json.loads(told.read_text())["test_results"].values()
        for result in results
    ]
    for result in results:
        state = "proven" if result["exitcode"] == 0 else "NOT PROVEN"
        sys.stdout.write(f"{state}: {result['name']}\n")
    if not results:
        return ["halmos ran no proof"]
    return [result["name"] for result in results if result["exitcode"] != 0]


def analyse(project: Path, environment: dict[str, str]) -> list[str]:
    """Run slither; print what it finds with our answer and return what has none."""
    told = project / "findings.json"
    subprocess.run(
        [
            "slither",
            ".",
            "--filter-paths=node_modules",
            "--exclude-informational",
            "--exclude-optimization",
            f"--json={told}",
        ],
        cwd=project,
        env=environment,
        capture_output=True,
        check=False,
    )
    found = [d["check"] for d in json.loads(told.read_text())["results"].get("detectors", [])]
    new = []
    for detector in sorted(set(found) | set(TRIAGE)):
        count = found.count(detector)
        explained = TRIAGE.get(detector, Explained(0, "NOT EXPLAINED"))
        sys.stdout.write(f"slither {detector}, {count} times: {explained.why}\n")
        if count > explained.times:
            new.append(f"{detector}: {count} findings, {explained.times} explained")
    return new


def main() -> None:
    """Print a plain report; exit 1 if anything is not proven or not explained."""
    environment = tool_environment()
    with tempfile.TemporaryDirectory() as directory:
        failed = prove(copied(Path(directory) / "halmos", with_tests=True), environment)
        failed += analyse(copied(Path(directory) / "slither", with_tests=False), environment)
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
