"""What `.ci/run` does about the browser, with every program that it calls made by the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"
BASH = shutil.which("bash")
INSTALLS = 'echo "#!/bin/sh" > "$(dirname "$0")/chromium"; chmod +x "$(dirname "$0")/chromium"'
MADE = "made test in CI: true\n"
"""In CI no test is skipped for lack of what `make test` installs."""
SKIPPED = "There is no chromium here"

pytestmark = pytest.mark.skipif(BASH is None, reason="bash is not installed: .ci/run not tried.")


def programs(folder: Path, **bodies: str) -> None:
    """Small shell scripts by name, and the few real programs that the scripts need."""
    for name in ("dirname", "chmod", "timeout", "sh"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name, body in {"make": 'echo "made $* in CI: $CI"', **bodies}.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


def run(folder: Path) -> str:
    assert BASH is not None
    done = subprocess.run(
        [BASH, str(SCRIPT)], env={"PATH": str(folder)}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.endswith(MADE), "the tests run whatever became of the browser"
    return done.stdout


def test_a_browser_that_is_there_is_left_alone(tmp_path: Path) -> None:
    programs(tmp_path, chromium="", id="echo 0", apt_get="exit 9")
    assert run(tmp_path) == MADE


def test_root_installs_one(tmp_path: Path) -> None:
    programs(tmp_path, id="echo 0", apt_get=f'echo noise >&2; {INSTALLS}')
    assert run(tmp_path) == f"Installing chromium for the tests of the page.\n{MADE}"
    assert (tmp_path / "chromium").is_file()


@pytest.mark.parametrize(
    ("user", "installer"),
    [("0", {"apt_get": "echo noise; exit 100"}), ("1000", {"apt_get": INSTALLS}), ("0", {})],
    ids=["it fails", "not root", "no apt-get"],
)
def test_without_one_it_says_what_is_left_out(
    tmp_path: Path, user: str, installer: dict[str, str]
) -> None:
    programs(tmp_path, id=f"echo {user}", **installer)
    said = run(tmp_path)
    assert SKIPPED in said
    assert "noise" not in said
