"""Puts the page and the migrations into the wheel, as atrium_server/web and .../migrations.

A hook and not `force-include`, because an editable install must not get a copy that goes stale:
there `atrium_server.http.assets.web_root` and `atrium_server.persistence.migrate` find the folders
of the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUFFIXES = {
    ".css", ".glb", ".html", ".ico", ".jpg", ".js", ".png", ".svg", ".webp", ".woff2",
}
FOLDERS_LEFT_OUT = {"node_modules", "test", "tests"}


class PageHook(BuildHookInterface[Any]):
    """Adds each file that the server would serve, and each that it would run on its database."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        steps = Path(self.root) / "migrations"
        for path in sorted(steps.rglob("*.py")):
            target = f"atrium_server/migrations/{path.relative_to(steps).as_posix()}"
            build_data["force_include"][str(path)] = target
        source = Path(self.root) / "clients" / "web"
        for path in sorted(source.rglob("*")):
            relative = path.relative_to(source)
            served = path.suffix in SUFFIXES and not FOLDERS_LEFT_OUT.intersection(relative.parts)
            if path.is_file() and served:
                target = f"atrium_server/web/{relative.as_posix()}"
                build_data["force_include"][str(path)] = target
