"""Requests whose JSON is nobody's bug but the sender's."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.exceptions import ClientException


class JsonRequest(Request[Any, Any, Any]):
    """As Litestar's, but what cannot be read as JSON at all gets a sentence, too."""

    async def json(self) -> Any:
        """The body. Raises ClientException."""
        try:
            return await super().json()
        except RecursionError:
            sentence = "The JSON is nested too deeply."
        except UnicodeDecodeError:
            sentence = "The JSON is not UTF-8."
        raise ClientException(sentence)
