"""Do the page's modules count and read as they should?

Their own tests are run by Node.js; and what they take from other files is what those say.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.pages.assets import PAGES
from settlement.protocol.abi import abi_entry, abi_types
from settlement.protocol.eip712 import keccak256

HERE = Path(__file__).parent
MODULES = PAGES / "market"
CALLS = {
    "approve": "TestToken",
    "allowance": "TestToken",
    "balanceOf": "TestToken",
    "deposit": "Exchange",
}


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_modules_pass_their_own_tests(tmp_path: Path) -> None:
    # In a folder that says that its files are modules, as a browser is told by the page.
    shutil.copytree(MODULES, tmp_path / "market")
    shutil.copy(HERE / "page_modules.test.js", tmp_path)
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))
    done = subprocess.run(
        ["node", "--test", "page_modules.test.js"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_selectors_are_those_of_the_contracts() -> None:
    told = dict(re.findall(r'(\w+): "([0-9a-f]{8})"', (MODULES / "calldata.js").read_text()))
    ours = {}
    for name, contract in CALLS.items():
        assert abi_entry(contract, "function", name)
        types = ",".join(abi_types(contract, "function", name))
        ours[name] = keccak256(f"{name}({types})".encode())[:4].hex()
    assert told == ours


def test_what_the_page_says_before_its_script_is_what_the_script_says() -> None:
    english = dict(
        re.findall(r'(?:^|\s)(\w+):\s+"((?:[^"\\]|\\.)*)"', (MODULES / "words_en.js").read_text())
    )
    marked = re.compile(r'data-t="(\w+)"[^>]*>([^<]*)<')
    for page in ("market.html", "account.html", "dialogs.html"):
        text = (PAGES / page).read_text()
        for key, said in marked.findall(text):
            assert key in english, f"{page}: {key} is no word"
            if key not in ("language", "days") and "$" not in said:
                assert " ".join(said.split()) == english[key], f"{page}: {key}"
        for key in re.findall(r'data-t-label="(\w+)"', text):
            assert key in english, f"{page}: {key} is no word"


def test_every_module_says_which_question_it_answers() -> None:
    for path in sorted(MODULES.glob("*.js")):
        comment = []
        for line in path.read_text().splitlines():
            if not line.startswith("//"):
                break
            comment.append(line)
        assert "?" in " ".join(comment), f"{path.name} does not begin with a question"
