"""What docs/OPERATING.md tells people to write is understood."""

from __future__ import annotations

import re
from pathlib import Path

from atrium_server.world.manifest import parse_manifest

TEXT = (Path(__file__).parents[2] / "docs" / "OPERATING.md").read_text(encoding="utf-8")


def test_its_manifest_is_a_whole_one() -> None:
    (example,) = [
        block for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL) if "[world]" in block
    ]
    manifest = parse_manifest(example, "garden.toml")
    assert (manifest.name, manifest.capacity) == ("garden", 200)
    assert "atrium serve --world garden.toml" in TEXT
