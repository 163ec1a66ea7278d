"""The process that looks into one file: `python -I -m atrium_server.assets.worker`.

Theory of operation
-------------------
What strangers made is given to parsers, some of them written in C, so a file may well take over
this process. It is made for that. It has one file, open for reading, as its standard input, a pipe
for its answer, and nothing else: no environment, no secrets, no name of a file. Before it reads the
first byte it gives up what it can: root, other users' rights, new descriptors (so no file can be
opened and no socket made), processes, writing to files, memory and time beyond a bound. Who started
it kills it after a while; should that one have died, an alarm does.

The libraries that a type needs are imported first, while files can still be opened.

The answer is one JSON document, a `Verdict`, and the exit status is 0; whatever else happens means
that the file could not be checked.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from atrium_server.assets import verdict
from atrium_server.assets.sniff import media_type_of
from atrium_server.assets.verdict import Facts, Unfit, Verdict
from atrium_shared.limits import (
    ASSET_BYTES_MAX,
    ASSET_CHECK_CPU_S_MAX,
    ASSET_CHECK_MEMORY_BYTES_MAX,
    ASSET_CHECK_S_MAX,
)

if TYPE_CHECKING:
    from atrium_server.assets.images import Look

_FILE, _ANSWER = 0, 1
_DESCRIPTORS_MAX: Final = 0
"""The limit is on numbers, and not on how many are open: were it 3, who closes the answer could
open a file in its place. What is open already stays of use."""
_HEAD_BYTES: Final = 1_024
_NOBODY: Final = 65_534
_NICE: Final = 10
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_NEEDS: Final = {
    verdict.GLB: "gltf", verdict.GLTF: "gltf", verdict.PNG: "images", verdict.JPEG: "images",
    verdict.KTX2: "ktx2", verdict.OGG: "sound", verdict.MP3: "sound",
}
"""The module that checks a type; importing it imports the libraries."""


def check(data: bytes, media_type: str, fd: int, look: Look = None) -> Facts:
    """The facts of a file whose bytes are `data`, and which `fd` has open; `look` is shown its
    pictures. Raises Unfit.
    """
    if media_type in {verdict.GLB, verdict.GLTF}:
        from atrium_server.assets.gltf import check_gltf

        return check_gltf(data, media_type, look)
    if media_type in {verdict.OGG, verdict.MP3}:
        from atrium_server.assets.sound import check_sound

        return check_sound(data, media_type, fd)
    if media_type == verdict.KTX2:
        from atrium_server.assets.ktx2 import check_ktx2

        image = check_ktx2(data)
    else:
        from atrium_server.assets.images import decode_image, image_facts

        image = image_facts(data, media_type)
        decode_image(data, image, look)
    return Facts(media_type=media_type, size_bytes=len(data), images=(image,))


def judged(fd: int, *, with_pictures: bool = False) -> Verdict:
    """The verdict on the file that `fd` has open; whatever goes wrong is one, too."""
    try:
        media_type = media_type_of(os.pread(fd, _HEAD_BYTES, 0))
        importlib.import_module(f"atrium_server.assets.{_NEEDS[media_type]}")
        album: Any = None
        if with_pictures:
            album = importlib.import_module("atrium_server.assets.pictures").Album()
        _give_up_files()
        facts = check(_read_all(fd), media_type, fd, None if album is None else album.add)
        return Verdict(facts=facts, pictures=() if album is None else (*album.pictures,))
    except Unfit as error:
        return Verdict(
            refusal=error.sentence, is_of_wrong_type=error.is_of_wrong_type, is_certain=True
        )
    except MemoryError:
        return Verdict(refusal="Checking this file needs too much memory: make it smaller.")
    except Exception as error:  # the boundary: it is told to the server, and logged there
        sentence = "This file could not be checked: save it again with another program."
        return Verdict(refusal=sentence, bug=_place_of(error))


def _place_of(error: Exception) -> str:
    """Kind and place of an error, and nothing of what the file holds."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"


def _read_all(fd: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    while piece := os.pread(fd, 1 << 20, total):
        pieces.append(piece)
        total += len(piece)
        if total > ASSET_BYTES_MAX:
            raise Unfit(f"This file is larger than {ASSET_BYTES_MAX:,} bytes.")
    return b"".join(pieces)


# --- what is given up --------------------------------------------------------------------


def _give_up_rights() -> None:
    """Everything that the imports to come can do without."""
    for kind, most in (
        (resource.RLIMIT_AS, ASSET_CHECK_MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, ASSET_CHECK_CPU_S_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            if sys.platform == "linux":
                raise  # elsewhere not all of them can be set
    os.nice(_NICE)
    signal.alarm(math.ceil(2 * ASSET_CHECK_S_MAX))
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _give_up_files() -> None:
    """No new descriptor from now on, and no rights of root: what was to be opened, is."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS_MAX, _DESCRIPTORS_MAX))
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # a root who may not is one of little power already
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)


def main() -> None:
    """Check the standard input and write the verdict to the standard output."""
    _give_up_rights()
    answer = msgspec.json.encode(judged(_FILE, with_pictures=verdict.WITH_PICTURES in sys.argv))
    while answer:
        answer = answer[os.write(_ANSWER, answer) :]


if __name__ == "__main__":
    main()
