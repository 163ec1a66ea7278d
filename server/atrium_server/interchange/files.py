"""What an import or export needs of the place where models are kept."""

from __future__ import annotations

from typing import Final, Protocol

GLB: Final = "model/gltf-binary"


class AssetFiles(Protocol):
    """The files of the content-addressed store, by the SHA-256 of their bytes in hexadecimal."""

    async def get(self, asset: str) -> bytes | None:
        """A file; None if it is not there."""
        ...

    async def put(self, data: bytes, media_type: str) -> str:
        """Keep a file; returns its hash. Raises InterchangeError: it is not taken."""
        ...
