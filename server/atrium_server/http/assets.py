"""The pages and their files, read once at the start and served from memory.

Theory of operation
-------------------
A request names a key of a dict and never a path, so there is no way out of the folder. All files
together have one version, the hash of their contents, which is part of their address:
`/static/{version}/src/main.js` may be kept by browsers forever, and modules that import each
other by relative paths always get each other from the same version. The pages themselves are small
and never kept; the addresses in their `src` and `href` attributes are given the version when they
are loaded, in whichever way a page names the file (`src/main.js`, `./src/main.js`,
`/static/any/src/main.js`). Before its module script each page then gets a `modulepreload` for
every module that the script will import in the end (module_graph.py), so that a browser need not
read one to ask for the next; and after it for those of the modules that the page says will follow.

Scripts and styles of ours lose their comments and indentation here (lean.py), and files are
compressed, once and as well as gzip can.
What the tools of the folder need, and no browser, is not served.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atrium_server.config import AtriumStartError
from atrium_server.http.javascript import Unsure
from atrium_server.http.lean import lean_script, lean_style
from atrium_server.http.module_graph import ModuleGraph

_log = logging.getLogger("atrium.http")

ASSET_BYTES_MAX: Final = 8 * 1024 * 1024
ASSETS_MAX: Final = 1_000
VERSION_CHARS: Final = 16
PAGES: Final = ("index.html", "map.html")
"""The world, and the map of it."""
COMPRESS_BYTES_MIN: Final = 512
"""Below this, compression saves less than its header costs."""

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".glb": "model/gltf-binary",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""What is served, by suffix; any other file in the folder is not (hatch_build.py agrees).

Licences are text files: who passes on a library must pass on its licence, and that is us.
"""

_COMPRESSED_TYPES: Final = ("text/", "image/svg", "model/", "application/json")
COMPRESS_LEVEL: Final = 9
FOLDERS_LEFT_OUT: Final = {"node_modules", "test", "tests"}
FILES_LEFT_OUT: Final = {
    "jsconfig.core.json", "jsconfig.json", "package-lock.json", "package.json",
}
"""What tools read and no page does."""
_LEAN: Final[Mapping[str, Callable[[str], str]]] = {".js": lean_script, ".css": lean_style}
_REFERENCE: Final = re.compile(r'\b(src|href)="(?:\./|/static/[^/"]+/|/)?([^":?#]+)"')
_MODULE_SCRIPT: Final = re.compile(r'<script\b(?=[^>]*\stype="module")[^>]*\ssrc="[^>]*>')
_MODULE_LINK: Final = re.compile(r'<link\b(?=[^>]*\srel="modulepreload")[^>]*\shref="[^>]*>')


@dataclass(frozen=True, slots=True)
class Asset:
    """Bytes that are ready to send; `compressed` is the gzip form where that is shorter."""

    body: bytes
    media_type: str
    etag: str
    compressed: bytes | None

    @classmethod
    def of(cls, body: bytes, media_type: str) -> Asset:
        """An asset with its tag and its compressed form."""
        etag = '"' + hashlib.sha256(body).hexdigest()[:VERSION_CHARS] + '"'
        compressed = None
        if len(body) >= COMPRESS_BYTES_MIN and media_type.startswith(_COMPRESSED_TYPES):
            packed = gzip.compress(body, COMPRESS_LEVEL, mtime=0)
            compressed = packed if len(packed) < len(body) else None
        return cls(body, media_type, etag, compressed)


@dataclass(frozen=True, slots=True)
class WebAssets:
    """The pages by name, and their files by path below the folder, with `/` between the parts."""

    version: str
    pages: Mapping[str, Asset]
    """Those of PAGES that there are, the first at least."""
    files: Mapping[str, Asset]

    def paths(self) -> frozenset[str]:
        """The paths of all files in requests."""
        return frozenset(f"/static/{self.version}/{name}" for name in self.files)


def web_root() -> Path:
    """The folder of the page: inside an installed package, or `clients/web` of a checkout.

    Raises:
        AtriumStartError: there is neither, so the installation is incomplete.
    """
    here = Path(__file__).resolve()
    candidates = (here.parents[1] / "web", here.parents[3] / "clients" / "web")
    for candidate in candidates:
        if (candidate / "index.html").is_file():
            return candidate
    raise AtriumStartError(
        f"The page of the server is missing: there is no index.html in {candidates[0]}. "
        "Install the package atrium again."
    )


def load_assets(root: Path) -> WebAssets:
    """Read the pages in `root` and all files below `root` that have a known suffix.

    Raises:
        AtriumStartError: a file is too large, there are too many, or one cannot be read.
    """
    contents: dict[str, bytes] = {}
    for path in sorted(_files(root)):
        is_wanted = path.suffix in MEDIA_TYPES and path.name not in FILES_LEFT_OUT
        if is_wanted and path.is_file():
            contents[path.relative_to(root).as_posix()] = _read(path, root)
        if len(contents) > ASSETS_MAX:
            raise AtriumStartError(f"The folder {root} has more than {ASSETS_MAX:,} files.")
    if PAGES[0] not in contents:
        raise AtriumStartError(f"The folder {root} has no {PAGES[0]}.")
    contents = {name: _lean(name, content) for name, content in contents.items()}
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = digest.hexdigest()[:VERSION_CHARS]
    pages = {name: contents.pop(name).decode() for name in PAGES if name in contents}
    graph = ModuleGraph({name: text for name, text in contents.items() if name.endswith(".js")})
    return WebAssets(
        version=version,
        pages={
            name: Asset.of(
                _with_version(_with_preloads(page, graph), version, set(contents)).encode(),
                MEDIA_TYPES[".html"],
            )
            for name, page in pages.items()
        },
        files={
            name: Asset.of(content, MEDIA_TYPES[Path(name).suffix])
            for name, content in contents.items()
        },
    )


def _lean(name: str, content: bytes) -> bytes:
    """What of a file is sent. Libraries are as small already as those who made them could."""
    make = None if name.startswith("vendor/") else _LEAN.get(Path(name).suffix)
    if make is None:
        return content
    try:
        return make(content.decode()).encode()
    except (Unsure, UnicodeDecodeError) as reason:
        _log.info("%s is sent as it was written: %s", name, reason)
        return content


def _files(root: Path) -> Iterator[Path]:
    """All files below the folder; what is left out is not even gone through, as it can be much."""
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not _is_left_out(each)]
        yield from (Path(folder, each) for each in names if not _is_left_out(each))


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name in FOLDERS_LEFT_OUT


def _read(path: Path, root: Path) -> bytes:
    if not path.resolve().is_relative_to(root.resolve()):
        raise AtriumStartError(f"The file {path} is a link that leads out of {root}.")
    try:
        with path.open("rb") as file:
            content = file.read(ASSET_BYTES_MAX + 1)
    except OSError as error:
        raise AtriumStartError(f"The file {path} cannot be read ({error.strerror}).") from None
    if len(content) > ASSET_BYTES_MAX:
        raise AtriumStartError(f"The file {path} is larger than {ASSET_BYTES_MAX:,} bytes.")
    return content


def _with_preloads(page: str, graph: ModuleGraph) -> str:
    """The page with a link for each module that it will load, itself or by another.

    Those of its scripts stand before the first of these. A page may name modules itself that it
    imports later; then those that they import stand before that link.
    """
    scripts = list(_MODULE_SCRIPT.finditer(page))
    if not scripts:
        return page
    named = {match[2] for match in _REFERENCE.finditer(page)}
    links = [each for each in _MODULE_LINK.finditer(page) if each.start() > scripts[0].start()]
    out: list[str] = []
    at = 0
    for group in (scripts, *([link] for link in links)):
        entries = [each[2] for tag in group for each in _REFERENCE.finditer(tag.group())]
        wanted = [name for name in graph.closure(entries) if name not in named]
        named.update(wanted)
        start = group[0].start()
        out.append(page[at:start])
        out += [f'<link rel="modulepreload" href="{html.escape(name)}">\n  ' for name in wanted]
        at = start
    return "".join(out) + page[at:]


def _with_version(page: str, version: str, names: set[str]) -> str:
    def replace(match: re.Match[str]) -> str:
        attribute, name = match.groups()
        return f'{attribute}="/static/{version}/{name}"' if name in names else match.group()

    return _REFERENCE.sub(replace, page)
