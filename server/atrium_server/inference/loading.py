"""Makes a version of a model runnable: from its document and weights to a module on a device.

Which module runs a version is said by its kind, of which there is a fixed list: nothing that a
document says can choose what is imported. A version whose signature is not the one that the module
has, with these weights, is refused.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

import torch

from atrium_server.inference.device import TorchDevice
from atrium_server.inference.slots import Loaded
from atrium_server.registry.errors import ModelError
from atrium_server.registry.packages import Package

KINDS: Final = {
    "picture_net": "atrium_server.inference.models.picture_net",
    "profanity": "atrium_server.inference.models.profanity",
    "sentence_encoder": "atrium_server.inference.models.sentence_encoder",
    "text_head": "atrium_server.inference.models.text_head",
}
"""Of each kind the module that has `from_tensors`, or `from_package` where words are needed."""


def load(package: Package, device: TorchDevice) -> Loaded:
    """A version that can run, not warm yet. Blocks; for a worker thread. Raises ModelError."""
    document = package.document
    where = KINDS.get(document.kind)
    if where is None:
        raise ModelError(
            f"{document.label} is of the kind {document.kind!r}, which this Atrium does not know"
            f" ({', '.join(KINDS)}): it may be from a newer one."
        )
    try:
        kind: Any = importlib.import_module(where)
        if hasattr(kind, "from_package"):
            module: Any = kind.from_package(package)
        else:
            module = kind.from_tensors(package.tensors, document.content)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"{document.label} cannot be built: {error}.") from None
    if module.signature != document.signature:
        raise ModelError(
            f"{document.label} takes or gives something else than its document says: get document"
            " and weights anew."
        )
    with torch.inference_mode():
        return Loaded(
            document.name, document.version, device.place(module),
            rows_of=getattr(module, "rows_of", None), sizes=getattr(module, "sizes", ()),
        )
