"""Puts the page, the migrations and the set that models are compared on into the wheel, as
atrium_server/web, .../migrations and .../training/chat_lines.tsv.

A hook and not `force-include`, because an editable install must not get a copy that goes stale:
there `atrium_server.http.assets.web_root`, `atrium_server.persistence.migrate` and
`atrium_server.training.fixed_sets` find the folders of the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUFFIXES = {
    ".css", ".glb", ".html", ".ico", ".jpg", ".js", ".json", ".png", ".svg", ".txt", ".webp",
    ".woff2",
}
"""Licences of what is vendored are text files: they are served, and so they are here."""
FOLDERS_LEFT_OUT = {"node_modules", "test", "tests"}
FILES_LEFT_OUT = {
    "jsconfig.core.json", "jsconfig.json", "package-lock.json", "package.json",
}


class PageHook(BuildHookInterface[Any]):
    """Adds each file that the server would serve, and each that it would run on its database."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        steps = Path(self.root) / "migrations"
        for path in sorted(steps.rglob("*.py")):
            target = f"atrium_server/migrations/{path.relative_to(steps).as_posix()}"
            build_data["force_include"][str(path)] = target
        lines = Path(self.root) / "tests" / "moderation" / "chat_lines.tsv"
        build_data["force_include"][str(lines)] = f"atrium_server/training/{lines.name}"
        source = Path(self.root) / "clients" / "web"
        for path in sorted(source.rglob("*")):
            relative = path.relative_to(source)
            left_out = FOLDERS_LEFT_OUT.intersection(relative.parts) or path.name in FILES_LEFT_OUT
            if path.suffix in SUFFIXES and not left_out and path.is_file():
                target = f"atrium_server/web/{relative.as_posix()}"
                build_data["force_include"][str(path)] = target
