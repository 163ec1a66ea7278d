"""Trains a head on hashed n-grams: seeded, resumable, stopped when it gets no better.

Theory of operation
-------------------
All chance comes from the seed and the number of the epoch, so a run that was interrupted goes on
from its checkpoint (after each epoch) to the very same weights. Labels that nobody knows (NaN) have
no loss. In each batch some of the n-grams are left out, as many as `drop` says: a model that cannot
rely on any one of them learns from all.

The checkpoint is safetensors and JSON like everything else: what the optimizer knows included.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import nn

from atrium_server.inference.models.text_head import TextHead
from atrium_server.moderation.features import Bags
from atrium_server.training.peers import Peers
from atrium_server.training.texts import F32, I64, Labelled, Progress, batches

_STATE: Final = "state.safetensors"
_BEST: Final = "best.safetensors"
_ABOUT: Final = "about.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train."""

    width: int = 24
    has_hidden: bool = True
    epochs: int = 12
    batch: int = 256
    rate: float = 0.005
    drop: float = 0.3
    """Share of the n-grams that a row is shown without."""
    decay: float = 1e-6
    patience: int = 2
    """Epochs without a better figure before it stops."""
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out."""

    head: TextHead
    figure: float
    """Of the best epoch, by `measure`."""
    epochs: int
    """That were run."""


Measure = Callable[[F32], float]


@dataclass(frozen=True, slots=True)
class Held:
    """What epochs are compared by."""

    data: Labelled
    measure: Measure
    """How good the logits of these rows are, (rows, labels); more is better."""


def _silent(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Means:
    """What a training has at hand."""

    progress: Progress = _silent
    """Told after each batch."""
    folder: Path | None = None
    """Where checkpoints are kept and looked for; None for no checkpoints."""
    processes: int = 1
    """That share the work (`together`)."""
    peers: Peers = field(default_factory=Peers)


ALONE: Final = Means()


@dataclass(slots=True)
class _Run:
    """A training under way."""

    head: TextHead
    optimizer: torch.optim.Adam
    epoch: int = 0
    best: float = -float("inf")
    since_best: int = 0
    best_state: dict[str, torch.Tensor] | None = None


def train(
    data: Labelled, held: Held | None, plan: Plan, means: Means = ALONE
) -> Trained:
    """Train a head.

    Args:
        data: what it learns from.
        held: by which epochs are compared; None for a peer that only computes its share.
        plan: how.
        means: what it has at hand.

    Returns:
        The head of the best epoch, not calibrated.
    """
    peers, folder = means.peers, means.folder
    run = _begin(data, plan, peers.device)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _resume(run, plan, folder)
    seen = data.features()
    others = held.data.features() if held is not None else None
    while not peers.agree(run.epoch >= plan.epochs or run.since_best > plan.patience):
        _epoch(run, data, seen, plan, means)
        run.epoch += 1
        if held is None or others is None:
            continue
        _compare(run, held.measure(logits_of(run.head, others)))
        if folder is not None:
            _keep(run, plan, folder)
    if run.best_state is not None:
        run.head.load_state_dict(run.best_state)
    return Trained(run.head.cpu().eval(), run.best, run.epoch)


def _compare(run: _Run, figure: float) -> None:
    if figure > run.best:
        run.best, run.since_best = figure, 0
        run.best_state = {k: v.clone() for k, v in run.head.state_dict().items()}
    else:
        run.since_best += 1


def logits_of(head: TextHead, features: Bags, size: int = 2_048) -> F32:
    """The logits of all rows."""
    head.eval()
    rows = np.arange(len(features.offsets) - 1)
    place = head.bias.device
    with torch.inference_mode():
        parts = [
            head.logits(
                torch.from_numpy(ids).to(place), torch.from_numpy(offsets).to(place)
            ).float().cpu().numpy()
            for _, ids, offsets in batches(features, rows, size)
        ]
    labels = head.bias.shape[0]
    return np.concatenate(parts) if parts else np.zeros((0, labels), np.float32)


def _begin(data: Labelled, plan: Plan, device: torch.device) -> _Run:
    torch.manual_seed(plan.seed)
    labels = data.targets.shape[1]
    head = TextHead(plan.width, labels, has_hidden=plan.has_hidden)
    nn.init.normal_(head.table.weight, std=0.1)
    # Begin where the labels' own frequencies are.
    known = (~np.isnan(data.targets)).sum(axis=0)
    shares = (np.nan_to_num(data.targets).sum(axis=0) / known.clip(min=1)).clip(0.001, 0.999)
    with torch.no_grad():
        head.bias.copy_(torch.logit(torch.from_numpy(shares.astype(np.float32))))
    head.to(device)
    weights = [each for each in head.parameters() if each.requires_grad]
    return _Run(head, torch.optim.Adam(weights, lr=plan.rate, weight_decay=plan.decay))


def _epoch(run: _Run, data: Labelled, seen: Bags, plan: Plan, means: Means) -> None:
    chance = np.random.default_rng((plan.seed, run.epoch))
    order = chance.permutation(len(data)).astype(np.int64)
    total = -(-len(order) // plan.batch)
    rate = plan.rate * (1 - run.epoch / plan.epochs)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.head.train()
    peers = means.peers
    for step, (rows, ids, offsets) in enumerate(batches(seen, order, plan.batch)):
        ids, offsets = _without_some(ids, offsets, plan.drop, chance)
        mine, ids, offsets = peers.part(rows, ids, offsets)
        logits = run.head.logits(
            torch.from_numpy(ids).to(peers.device), torch.from_numpy(offsets).to(peers.device)
        )
        loss = _loss(logits, data.targets[mine], data.weights[mine], peers)
        run.optimizer.zero_grad()
        cast("Any", loss).backward()
        peers.join_gradients(run.head)
        run.optimizer.step()
        means.progress(f"epoch {run.epoch + 1} of {plan.epochs}", step + 1, total)


def _without_some(
    ids: I64, offsets: I64, drop: float, chance: np.random.Generator
) -> tuple[I64, I64]:
    if not drop:
        return ids, offsets
    is_kept = chance.random(len(ids)) >= drop
    kept = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(is_kept, out=kept[1:])
    return ids[is_kept], kept[offsets]


def _loss(logits: torch.Tensor, targets: F32, weights: F32, peers: Peers) -> torch.Tensor:
    """This one's share of the mean over all that is known of the batch."""
    place = logits.device
    is_known = torch.from_numpy(~np.isnan(targets)).float().to(place)
    wanted = torch.from_numpy(np.nan_to_num(targets)).to(place)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    counted = losses * is_known * torch.from_numpy(weights).to(place)[:, None]
    return counted.sum() / peers.total(is_known.sum()).clamp(min=1)


# --- checkpoints ------------------------------------------------------------------------------


def _keep(run: _Run, plan: Plan, folder: Path) -> None:
    arrays = {f"head.{k}": v.cpu().numpy() for k, v in run.head.state_dict().items()}
    for number, state in run.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            arrays[f"optimizer.{number}.{name}"] = value.cpu().numpy()
    save_file(arrays, folder / f"{_STATE}.new")
    if run.since_best == 0 and run.best_state is not None:
        save_file({k: v.cpu().numpy() for k, v in run.best_state.items()}, folder / _BEST)
    about = {"plan": asdict(plan), "epoch": run.epoch, "best": run.best,
             "since_best": run.since_best}
    (folder / f"{_ABOUT}.new").write_text(json.dumps(about), encoding="utf-8")
    for name in (_STATE, _ABOUT):
        (folder / f"{name}.new").replace(folder / name)


def _resume(run: _Run, plan: Plan, folder: Path) -> None:
    """Go on where a run of the same plan stopped; another plan begins anew."""
    if not (folder / _ABOUT).is_file():
        return
    about: Mapping[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    if about["plan"] != asdict(plan):
        return
    arrays: Mapping[str, npt.NDArray[Any]] = load_file(folder / _STATE)
    run.head.load_state_dict({
        name.removeprefix("head."): torch.from_numpy(array)
        for name, array in arrays.items() if name.startswith("head.")
    })
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in arrays.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            states.setdefault(int(number), {})[key] = torch.from_numpy(array)
    whole = run.optimizer.state_dict()
    whole["state"] = states
    run.optimizer.load_state_dict(whole)
    run.epoch, run.best, run.since_best = about["epoch"], about["best"], about["since_best"]
    run.best_state = {
        name: torch.from_numpy(array) for name, array in load_file(folder / _BEST).items()
    }
