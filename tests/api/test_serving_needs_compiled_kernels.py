"""Does a production start refuse to let the first order wait for the compiler?"""

import os
import subprocess
import sys

SERVE = "from gateway.cli.main import main; main()"


def test_a_cold_cache_is_refused_by_name(tmp_path):
    paths = {}
    for name in ("deployment", "keystore", "password-file", "markets"):
        paths[name] = tmp_path.joinpath(name)
        paths[name].touch()
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path.joinpath("cold"))}

    ended = subprocess.run(
        [sys.executable, "-c", SERVE, "serve", "--rpc", "http://127.0.0.1:1", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    assert "run tillbook compile" in " ".join(ended.stdout.split())
