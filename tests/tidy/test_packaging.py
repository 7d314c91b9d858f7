"""Would what is shipped start? Checked without Docker: the wheel, the Dockerfile, compose.yaml."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main

from gateway.cli.main import app
from tests.tidy.sources import PRODUCT, ROOT, tracked_files

SHIPPED_BESIDE_PYTHON = re.compile(
    r"^(?:gateway|merchants)/(?:.*/)?pages/|^settlement/contracts/artifacts/.*[.]json$"
)
MODULE = re.compile(rf"^(?:{'|'.join(PRODUCT)})/(?!contracts/|client/).*[.]py$")
"""``settlement/contracts`` is a forge project; of it only the artifacts are shipped.
``gateway/client`` is a package of its own."""


class Instruction(NamedTuple):
    """One instruction of a Dockerfile, continuation lines joined."""

    word: str
    text: str


def dockerfile(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", kept)
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def faults(instructions: list[Instruction]) -> list[str]:
    """Return what a careful reader would complain about in a Dockerfile."""
    texts: dict[str, list[str]] = {}
    for word, text in instructions:
        texts.setdefault(word, []).append(text)
    found = [
        f"{image} is not pinned"
        for image in (text.split()[0] for text in texts["FROM"])
        if not re.search(r":[\w.-]*\d|@sha256:", image)
    ]
    copied = [text.split() for text in texts.get("COPY", []) if not text.startswith("--from")]
    found += [
        f"COPY {source}: there is no such file"
        for *sources, _target in copied
        for source in sources
        if not ROOT.joinpath(source).exists()
    ]
    installs = [text for text in texts.get("RUN", []) if "pip install" in text]
    found += [
        f"unpinned: {text}"
        for text in installs
        if "--require-hashes" not in text and "--no-deps" not in text
    ]
    found += [f"{word} is too clever" for word in ("ADD", "ARG", "ONBUILD") if word in texts]
    if texts.get("USER", ["root"])[-1] in {"root", "0"}:
        found.append("runs as root")
    probes = texts.get("HEALTHCHECK", [""])
    if f"127.0.0.1:{texts.get('EXPOSE', ['?'])[-1]}/healthz" not in probes[-1]:
        found.append("the health check asks another port than the one that is exposed")
    return found


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    return dockerfile(ROOT.joinpath("Dockerfile").read_text())


def test_the_dockerfile_has_no_fault(instructions):
    assert faults(instructions) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("python:3.12-slim-bookworm", "python"), "python is not pinned"),
        (("COPY engine", "COPY motor"), "COPY motor: there is no such file"),
        (("--require-hashes", ""), "unpinned: "),
        (("USER 10001", "USER root"), "runs as root"),
        (("EXPOSE 8787", "EXPOSE 80"), "the health check asks another port"),
        (("WORKDIR /src", "ADD . /src"), "ADD is too clever"),
    ],
)
def test_a_fault_in_the_dockerfile_is_noticed(change, fault):
    worse = ROOT.joinpath("Dockerfile").read_text().replace(*change)
    assert any(words.startswith(fault) for words in faults(dockerfile(worse)))


def test_the_image_starts_a_command_that_exists(instructions):
    started = {word: text for word, text in instructions if word in {"ENTRYPOINT", "CMD"}}
    scripts = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(started["ENTRYPOINT"]) == ["tillbook"]
    assert scripts == {"tillbook": "gateway.cli.main:main"}

    name, *arguments = json.loads(started["CMD"])
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, arguments)
    assert context.params["host"] == "0.0.0.0"
    assert context.params["port"] == 8787
    assert context.params["directory"].is_relative_to("/data")


def test_the_gateway_answers_where_the_health_check_asks():
    sources = [path for path in tracked_files() if re.fullmatch(r"gateway/.*[.]py", path)]
    assert any('"/healthz"' in ROOT.joinpath(path).read_text() for path in sources)


def test_compose_runs_the_image_on_this_machine_alone_and_without_rights(instructions):
    lines = [line.strip() for line in ROOT.joinpath("compose.yaml").read_text().splitlines()]
    port = next(text for word, text in instructions if word == "EXPOSE")
    volume = next(text for word, text in instructions if word == "VOLUME")
    for line in (
        "build: .",
        f'- "127.0.0.1:{port}:{port}"',
        f"- tillbook:{volume}",
        "read_only: true",
        "- no-new-privileges:true",
    ):
        assert lines.count(line) == 1, line
    assert lines[lines.index("cap_drop:") + 1] == "- ALL"


def built_wheel(directory: Path, project: str, tracked: list[str]) -> Path:
    """Build the project in folder ``project`` from tracked files; return the wheel."""
    source = directory.joinpath("source")
    for path in tracked:
        copy = source.joinpath(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(ROOT.joinpath(path).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(directory), str(source / project)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def test_the_wheel_holds_all_that_runs(tmp_path):
    """An editable install hides what a package forgot, so build the real one from tracked files."""
    tracked = tracked_files()
    wheel = built_wheel(tmp_path, "", tracked)
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {path for path in tracked if MODULE.match(path)}
    beside = {path for path in tracked if SHIPPED_BESIDE_PYTHON.match(path)}
    assert packed == modules | beside


def test_the_client_needs_nothing_of_the_exchange(tmp_path):
    """Installed by itself, it signs an order and has imported nothing else of this repository."""
    tracked = [path for path in tracked_files() if path.startswith("gateway/client/")]
    wheel = built_wheel(tmp_path, "gateway/client", tracked)
    installed = tmp_path.joinpath("installed")
    zipfile.ZipFile(wheel).extractall(installed)
    program = f"""
import sys
sys.path.insert(0, {str(installed)!r})
import tillbook_client
wallet = tillbook_client.Wallet("0x" + "11" * 32)
print(tillbook_client.__file__, wallet.address, len(wallet.sign(bytes(32))))
assert not {set(PRODUCT)!r} & {{name.partition(".")[0] for name in sys.modules}}
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    where, address, size = ran.stdout.split()
    assert where.startswith(str(installed))
    assert (address, size) == ("0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a", "132")
