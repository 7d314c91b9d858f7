"""Is the chart that we ship what we say, with its licence, and does the policy let it in?"""

import base64
import hashlib
import re

from gateway.pages.assets import PAGES
from gateway.pages.headers import CHART_LOGO_STYLE, headers

FOLDER = PAGES / "vendor" / "lightweight-charts"
FILE = FOLDER / "lightweight-charts.standalone.production.mjs"


def test_the_file_is_the_one_that_the_readme_names() -> None:
    told = (PAGES / "vendor" / "README.md").read_text()
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in told
    (version,) = set(re.findall(r"Lightweight Charts™ v([\d.]+)", FILE.read_text()))
    assert f"| {version} |" in told


def test_licence_and_notice_stand_beside_it() -> None:
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    notice = (FOLDER / "NOTICE").read_text()
    assert "TradingView Lightweight Charts" in notice and "https://www.tradingview.com/" in notice


def test_the_policy_lets_in_the_one_style_that_the_chart_makes_and_no_other() -> None:
    made = re.findall(
        r'createElement\("style"\),\w+(?:\.\w+)*\.innerText="([^"]*)"', FILE.read_text()
    )
    assert len(made) == FILE.read_text().count('createElement("style")') == 1
    digest = base64.b64encode(hashlib.sha256(made[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" == CHART_LOGO_STYLE
    policy = headers("no-cache", styles=CHART_LOGO_STYLE)["Content-Security-Policy"]
    assert f"style-src 'self' {CHART_LOGO_STYLE};" in policy
    assert (
        "unsafe" not in policy and "default-src 'none'" in policy and "script-src 'self';" in policy
    )
    assert "sha256" not in headers("no-cache")["Content-Security-Policy"], "the other pages"
