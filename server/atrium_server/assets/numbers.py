"""What the metrics say of uploads."""

from __future__ import annotations

from collections.abc import Callable

from atrium_server.assets.admission import Reason
from atrium_server.assets.showing import Look
from atrium_server.assets.store import AssetStore
from atrium_server.telemetry import Registry


class UploadNumbers:
    """What the metrics say."""

    def __init__(self, registry: Registry, store: AssetStore) -> None:
        def ended(outcome: str) -> Callable[[], None]:
            counter = registry.counter(
                "atrium_asset_uploads_total", "Uploads, by how they ended.", outcome=outcome
            )
            return lambda: counter.add()

        self.stored, self.known = ended("stored"), ended("known")
        self.refused = {reason: ended(reason) for reason in Reason}
        self.check_s = registry.histogram(
            "atrium_asset_check_seconds", "Time of checking one uploaded file, waiting included."
        )
        self._registry = registry
        registry.gauge_read(
            "atrium_asset_bytes", "Bytes of all assets on disk.", lambda: store.bytes_stored
        )

    def looked(self, look: Look) -> None:
        """What became of a file with pictures, and why."""
        self._registry.counter(
            "atrium_asset_pictures_total", "Uploads with pictures, by what became of them and why.",
            showing=look.showing.value, why=look.why.value,
        ).add()
