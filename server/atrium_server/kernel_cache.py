"""Where compiled kernels are kept, and when they are made anew.

numba keeps compiled code beside each source file and looks only at that file's age. A kernel that
was compiled with a constant or an inlined function of another module would live on after that
module had changed, and write the old layout into the new one. So all kernels of this package lie in
one folder of the user's cache, named by a hash of every source file that can take part: any change,
and every new version, begins with an empty folder. The folders used last are kept, for whoever goes
back and forth between versions, and the others removed when a new one is made.

Must run before the first kernel is defined; `atrium_server/__init__.py` sees to that.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import atrium_shared

FOLDERS_MAX = 6
_NAME = re.compile(r"[0-9a-f]{12}")


def _sources() -> list[Path]:
    """Every file whose text can end up inside a compiled kernel."""
    server = Path(__file__).parent
    shared = Path(atrium_shared.__file__).parent
    folders = [server / "world", server / "replication", server / "moderation", shared]
    inside = [path for folder in folders for path in folder.rglob("*.py")]
    return sorted([*inside, server / "jit.py", *(server / "net").glob("*kernels.py")])


def source_hash() -> str:
    """12 hexadecimal digits that change with any source of a kernel."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def use_kernel_cache() -> None:
    """Point numba at the folder for the present sources, unless NUMBA_CACHE_DIR says otherwise.

    Where the folder cannot be written numba is left to itself.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "atrium" / "kernels" / source_hash()
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.utime(folder)  # used now
        if is_new:
            _forget_old(folder.parent)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(folder)


def _forget_old(base: Path) -> None:
    """Keep the FOLDERS_MAX folders that were used last.

    One that is in use by an older server is made again by numba when it is needed.
    """
    folders = [each for each in base.iterdir() if _NAME.fullmatch(each.name) and each.is_dir()]
    folders.sort(key=lambda each: each.stat().st_mtime_ns)
    for old in folders[:-FOLDERS_MAX]:
        shutil.rmtree(old, ignore_errors=True)


def is_cold() -> bool:
    """Whether the kernels have to be compiled now, which takes about half a minute."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return folder is not None and next(Path(folder).rglob("*.nbc"), None) is None
