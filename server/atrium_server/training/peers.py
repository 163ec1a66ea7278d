"""Processes that train one model together: each computes its share of every batch, all sum up.

All of them begin with the same weights, draw the same chance, and apply the same sums, so they stay
equal to the last bit and reach what one process alone would reach, but for the order in which
numbers are added. They talk through torch.distributed: gloo, or NCCL where each has a graphics card
of its own.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

import torch
import torch.distributed
from torch import nn

from atrium_server.training.texts import I64

WAIT: Final = datetime.timedelta(minutes=10)
"""For a process that does not answer; then the training ends with an error."""


class Peers:
    """What a process knows of the others. One that is alone needs no others."""

    rank = 0
    count = 1
    device = torch.device("cpu")

    def part(self, rows: I64, ids: I64, offsets: I64) -> tuple[I64, I64, I64]:
        """The share of a batch that is this one's."""
        low, high = (len(rows) * k // self.count for k in (self.rank, self.rank + 1))
        first, last = offsets[low], offsets[high]
        return rows[low:high], ids[first:last], offsets[low:high + 1] - first

    def total(self, number: torch.Tensor) -> torch.Tensor:
        """The sum over all."""
        return number

    def join_gradients(self, module: nn.Module) -> None:
        """Make each gradient the sum over all."""

    def agree(self, is_over: bool) -> bool:
        """What the first one says."""
        return is_over


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of how many a process is."""

    rank: int
    count: int
    place: str
    """A file that all of them can reach and that is not there yet: where they meet."""


class Joined(Peers):
    """One of several."""

    def __init__(self, seat: Seat) -> None:
        rank, count = seat.rank, seat.count
        has_cards = torch.cuda.is_available() and torch.cuda.device_count() >= count
        torch.distributed.init_process_group(
            "nccl" if has_cards else "gloo", init_method=f"file://{seat.place}", rank=rank,
            world_size=count, timeout=WAIT,
        )
        self.rank, self.count = rank, count
        self.device = torch.device("cuda", rank) if has_cards else torch.device("cpu")

    def total(self, number: torch.Tensor) -> torch.Tensor:
        """The sum over all."""
        summed = number.detach().clone()
        torch.distributed.all_reduce(summed)
        return summed

    def join_gradients(self, module: nn.Module) -> None:
        """Make each gradient the sum over all."""
        for each in module.parameters():
            if each.grad is not None:
                torch.distributed.all_reduce(each.grad)

    def agree(self, is_over: bool) -> bool:
        """What the first one says."""
        word = torch.tensor([int(is_over)], device=self.device)
        torch.distributed.broadcast(word, src=0)
        return bool(word.item())

    def leave(self) -> None:
        """End it."""
        torch.distributed.destroy_process_group()
