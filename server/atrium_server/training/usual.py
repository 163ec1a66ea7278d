"""What a text model is like on the texts that it usually gets: what its drift is measured against.

The texts are ones that did not train it and that are like those of its use; how long they are and
what it says of them goes into the document of the version, as histograms, and nothing of the texts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from atrium_server.inference.models.text_head import TextHead
from atrium_server.registry.drift import reference_of
from atrium_server.training.text_training import logits_of
from atrium_server.training.texts import Labelled


def usual(head: TextHead, texts: Labelled) -> dict[str, Any]:
    """The reference of a document; nothing without texts."""
    if not len(texts):
        return {}
    features = texts.features()
    logits = torch.from_numpy(logits_of(head, features))
    with torch.inference_mode():
        scores = torch.sigmoid(logits * head.slope + head.shift).numpy()
    return reference_of(scores, np.diff(features.offsets))
