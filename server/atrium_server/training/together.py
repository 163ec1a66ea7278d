"""Trains a head in one process or in several.

The calling process is the first of them: it compares epochs, keeps checkpoints and says when it is
over. The others are started anew, get the data, and compute their share until they hear so.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from atrium_server.training import text_training
from atrium_server.training.peers import Joined, Seat
from atrium_server.training.text_training import Held, Means, Plan, Trained
from atrium_server.training.texts import Labelled

END_S: Final = 30.0
"""For the others to end after the last batch."""


def train(data: Labelled, held: Held, plan: Plan, means: Means) -> Trained:
    """As `text_training.train`, in as many processes as `means` says."""
    if means.processes == 1:
        return text_training.train(data, held, plan, means)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as meeting:
        place = str(Path(meeting) / "meeting")
        helpers = [
            context.Process(
                target=_help, daemon=True,
                args=(Seat(rank, means.processes, place), data, plan, means.folder),
            )
            for rank in range(1, means.processes)
        ]
        for each in helpers:
            each.start()
        try:
            peers = Joined(Seat(0, means.processes, place))
            try:
                return text_training.train(data, held, plan, replace(means, peers=peers))
            finally:
                peers.leave()
        finally:
            for each in helpers:
                each.join(END_S)
                each.kill()
                each.join()


def _help(seat: Seat, data: Labelled, plan: Plan, folder: Path | None) -> None:
    torch.set_num_threads(1)
    peers = Joined(seat)
    # It reads the checkpoint that it goes on from, and writes none.
    text_training.train(data, None, plan, Means(folder=folder, peers=peers))
    peers.leave()
