"""What the emotion model learns from when it has a teacher: MiniLM, tuned on the labelled lines.

The teacher also judges lines that nobody labelled: chat and tweets, for what people write to each
other, and for more anger than there is among Reddit's comments. None of them is nearly one of those
that choose or are measured on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from atrium_server.training.distillation import LESSON, Lesson, taught, unseen
from atrium_server.training.emotion import Parts
from atrium_server.training.sources import conversations, tweets
from atrium_server.training.teacher import Course, judged, tune
from atrium_server.training.text_training import Means
from atrium_server.training.texts import F32

LINES_MAX: Final = 20_000
_CHARS_MIN: Final = 9
_CHARS_MAX: Final = 199


def with_teacher(
    parts: Parts, data: Path, course: Course, means: Means, lesson: Lesson = LESSON
) -> Parts:
    """The same parts, but what trains has the teacher's judgement. Raises DataAbsentError."""
    teacher, tokenizer = tune(
        parts.train, course, progress=means.progress, folder=means.folder
    )

    def judge(texts: Sequence[str]) -> F32:
        return judged(teacher, tokenizer, texts, tokens_max=course.tokens_max,
                      progress=means.progress)

    return replace(parts, train=taught(parts.train, judge, more_lines(parts, data, course.seed),
                                       lesson))


def more_lines(parts: Parts, data: Path, seed: int) -> list[str]:
    """Lines that nobody labelled, in an order by chance. Raises DataAbsentError."""
    lines = [line for chat in conversations() for line in chat]
    lines += [tweet.text for tweet in tweets(data)]
    order = np.random.default_rng(seed).permutation(len(lines))
    some = [lines[int(k)] for k in order if _CHARS_MIN <= len(lines[int(k)]) <= _CHARS_MAX]
    others = (parts.train, parts.validation, parts.test)
    return unseen(some[: 2 * LINES_MAX], *others)[:LINES_MAX]
