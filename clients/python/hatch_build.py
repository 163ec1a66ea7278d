"""Puts `atrium_shared` into the SDK's wheel and sdist.

In a checkout it lies in `shared/`; in an unpacked sdist it lies beside this file already. A
symlink or a plain force-include would break one of the two ways to build.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedPackage(BuildHookInterface[Any]):
    """Adds the shared package from wherever it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        candidates = (root / "atrium_shared", root / "../../shared/atrium_shared")
        shared = next(path for path in candidates if path.is_dir())
        build_data["force_include_editable" if version == "editable" else "force_include"].update(
            {str(shared.resolve()): "atrium_shared"}
        )
