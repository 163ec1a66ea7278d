"""What is wrong with a model, as a sentence that says what to do. PURE.

There is one class for everything that a file, a document or a registry can get wrong, because
whoever loads a model does the same in each case: leave in use what is in use, and tell a person.
"""

from __future__ import annotations


class ModelError(Exception):
    """A model cannot be taken, found or used as it is; `sentence` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
