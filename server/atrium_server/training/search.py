"""Looks for the settings that train best, with Optuna: on the rows that choose, never on others.

Trials are drawn by a seeded sampler (TPE) and one that is clearly behind after its first epochs is
given up (median pruning), so the same seed on the same data finds the same plan. What trials there
were is kept beside the checkpoints, if there is a folder: a search that is started again goes on
where it was, though with other chances than if it had never stopped.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from atrium_server.training.sources import DataAbsentError
from atrium_server.training.text_training import Held, Means, Plan, train
from atrium_server.training.texts import F32, Labelled, Progress

WIDTHS: Final = (16, 24, 32)
STUDY: Final = "search.log"


@dataclass(frozen=True, slots=True)
class Search:
    """How to look."""

    trials: int = 20
    seed: int = 7
    folder: Path | None = None
    progress: Progress = lambda what, done, total: None
    """Told after each trial."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best plan and all that was tried."""

    plan: Plan
    figure: float
    tried: tuple[dict[str, Any], ...]


def search(data: Labelled, held: Held, plan: Plan, wanted: Search) -> Found:
    """The best of some plans that differ from this one in width, rate, drop, batch and decay.

    Raises DataAbsentError where Optuna is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise DataAbsentError("A search of settings needs Optuna: pip install 'atrium[train]'")
    optuna: Any = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", study_name=f"seed {wanted.seed}", load_if_exists=True,
        storage=_kept(optuna, wanted.folder),
        sampler=optuna.samplers.TPESampler(seed=wanted.seed, n_startup_trials=6),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )
    while (done := len(study.trials)) < wanted.trials:
        study.optimize(_trial(optuna, data, held, plan), n_trials=1)
        wanted.progress("trials", done + 1, wanted.trials)
    tried = tuple(
        {"plan": trial.params, "figure": trial.value, "state": trial.state.name.lower()}
        for trial in study.trials
    )
    return Found(replace(plan, **study.best_params), float(study.best_value), tried)


def _kept(optuna: Any, folder: Path | None) -> Any:
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal
    return optuna.storages.JournalStorage(journal.JournalFileBackend(str(folder / STUDY)))


def _trial(optuna: Any, data: Labelled, held: Held, plan: Plan) -> Callable[[Any], float]:
    def run(trial: Any) -> float:
        tried = replace(
            plan,
            width=trial.suggest_categorical("width", WIDTHS),
            rate=trial.suggest_float("rate", 5e-4, 2e-2, log=True),
            drop=trial.suggest_float("drop", 0.0, 0.7),
            batch=trial.suggest_categorical("batch", (128, 256, 512)),
            decay=trial.suggest_float("decay", 1e-8, 1e-4, log=True),
        )
        return train(data, Held(held.data, _watched(optuna, trial, held)), tried, Means()).figure

    return run


def _watched(optuna: Any, trial: Any, held: Held) -> Callable[[F32], float]:
    """The figure of an epoch, told to the pruner."""
    epochs: list[float] = []

    def measure(logits: F32) -> float:
        figure = held.measure(logits)
        epochs.append(max([figure, *epochs]))
        trial.report(epochs[-1], len(epochs))
        if trial.should_prune():
            raise optuna.TrialPruned
        return figure

    return measure
