"""What a text is about, as a vector: an encoder in the manner of BERT (Devlin et al., 2019).

Tokens and their places become vectors, layers mix them by attention, the mean over a row's tokens,
made as long as 1, is what comes out (Reimers and Gurevych, Sentence-BERT, 2019). How many layers
there are and how wide is read off the tensors.

A row is a bag of tokens. Rows of a batch are padded to the longest of them, and what is padding is
seen by nobody, so a row gives what it gives alone but for the rounding of sums. Rows of like size
are best run together (`SIZES`). Rows longer than the encoder has places for are cut.

Texts are cut into tokens by the package `tokenizers`, from a file of the version; where the package
is missing, the version cannot be used, and is refused with a sentence.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from atrium_server.inference.rows import Bag, Rows
from atrium_server.registry.packages import Package
from atrium_server.registry.signature import Field, Signature

KIND: Final = "sentence_encoder"
INPUT: Final = "ids"
OUTPUT: Final = "vector"
TOKENS_MAX: Final = 128
"""Of a text: what the weights were trained with."""
SIZES: Final = (16, 32, 64, TOKENS_MAX)
HEAD_WIDTH: Final = 32
EPSILON: Final = 1e-12
Array = npt.NDArray[Any]
_LAYER: Final = re.compile(r"layers\.(\d{1,2})\.joint\.weight")
_LAYERS_MAX: Final = 24


class Layer(nn.Module):
    """Attention, then two products, each added to what came in."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.joint = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.norm_out = nn.LayerNorm(width, eps=EPSILON)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, width); `seen` is false for padding."""
        rows, tokens, width = x.shape
        query, key, value = (
            part.view(rows, tokens, self.heads, -1).transpose(1, 2)
            for part in self.joint(x).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        mixed = self.out(mixed.transpose(1, 2).reshape(rows, tokens, width))
        x = self.norm(x + self.drop(mixed))
        return self.norm_out(x + self.drop(self.down(functional.gelu(self.up(x)))))


class SentenceEncoder(nn.Module):
    """See above."""

    def __init__(self, vocabulary: int, places: int, width: int, layers: int) -> None:
        super().__init__()
        self.signature = Signature(
            (Field(INPUT, "int64", is_bag=True, bound=vocabulary),),
            (Field(OUTPUT, "float32", (width,)),),
        )
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(places, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.sizes = SIZES
        self._tokenizer: Any = None

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A vector of length 1 for each row."""
        ids, offsets = inputs[INPUT], inputs[f"{INPUT}_offsets"]
        lengths = offsets.diff().clamp(max=self.places.num_embeddings)
        longest = max(int(lengths.max()), 1) if len(lengths) else 1
        place = torch.arange(longest, device=ids.device)
        is_token = place < lengths[:, None]
        if ids.numel():
            at = (offsets[:-1, None] + place).clamp(max=ids.numel() - 1)
            tokens = ids[at] * is_token
        else:
            tokens = torch.zeros(len(lengths), longest, dtype=torch.int64, device=ids.device)
        is_token = is_token | (place == 0)  # a row without tokens sees its padding, not nothing
        x = self.norm(self.words(tokens) + self.places.weight[:longest])
        for layer in self.layers:
            x = layer(x, is_token[:, None, None, :])
        share = is_token.to(x.dtype)[:, :, None]
        return {OUTPUT: functional.normalize((x * share).sum(1) / share.sum(1), dim=1)}

    def rows_of(self, texts: Sequence[str]) -> Rows:
        """The tokens of texts, at most TOKENS_MAX of each. Blocks; lets the interpreter go."""
        found = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
        offsets = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(ids) for ids in found], out=offsets[1:])
        return {INPUT: Bag(np.array([each for ids in found for each in ids], np.int64), offsets)}

    def with_tokens(self, described: Mapping[str, Any]) -> SentenceEncoder:
        """Cut texts as this says, which is the JSON of a tokenizer. Raises ValueError."""
        if importlib.util.find_spec("tokenizers") is None:
            raise ValueError(
                "the package that cuts texts into its tokens is missing, so pip install --no-deps"
                " tokenizers"
            )
        try:
            tokenizer: Any = importlib.import_module("tokenizers").Tokenizer.from_str(
                json.dumps(described)
            )
            tokenizer.no_padding()
            tokenizer.enable_truncation(TOKENS_MAX)
        except Exception as error:  # the package raises nothing more special
            raise ValueError(f"its tokens cannot be read ({error})") from None
        if tokenizer.get_vocab_size() > self.words.num_embeddings:
            raise ValueError("it has more tokens than vectors for them")
        self._tokenizer = tokenizer
        return self


def from_tensors(tensors: Mapping[str, Array], document: Mapping[str, Any]) -> SentenceEncoder:
    """The encoder of a version, which cannot cut texts yet. Raises ValueError."""
    layers = {int(found[1]) for name in tensors if (found := _LAYER.fullmatch(name))}
    words, places = tensors.get("words.weight"), tensors.get("places.weight")
    if (
        words is None or places is None or words.ndim != 2 or places.ndim != 2
        or words.shape[1] != places.shape[1] or words.shape[1] % HEAD_WIDTH
        or not 0 < len(layers) <= _LAYERS_MAX
    ):
        raise ValueError("an encoder has vectors of tokens and places, and layers")
    made = SentenceEncoder(len(words), len(places), words.shape[1], len(layers))
    try:
        made.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in tensors.items()})
    except RuntimeError as error:
        raise ValueError(f"the tensors of an encoder do not fit: {error}") from None
    return made.eval()


def from_package(package: Package) -> SentenceEncoder:
    """The encoder of a version. Raises ValueError."""
    described: list[Any] = [each for each in package.words.values() if isinstance(each, dict)]
    if len(described) != 1:
        raise ValueError("an encoder has one file that says how texts are cut into tokens")
    return from_tensors(package.tensors, package.document.content).with_tokens(described[0])
