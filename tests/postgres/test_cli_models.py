"""`atrium models`: published, tried, promoted through the gate, rolled back; refusals as sentences.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from model_samples import write_sample

from atrium_server import cli, cli_models
from atrium_server.registry import opening
from atrium_server.registry.builtins import FOLDER, Builtins
from atrium_server.registry.gate import Timed
from atrium_server.registry.packages import Package

Answer = tuple[int, str, str]


@pytest.fixture
def models(capsys, monkeypatch, database_url, tmp_path) -> Callable[..., Answer]:
    """`atrium models ARGUMENTS`, with a device on which each batch takes 2 ms."""
    for name in [name for name in os.environ if name.startswith("ATRIUM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(opening, "find_builtins", Builtins)
    monkeypatch.setattr(cli_models, "_timed", lambda package, rows: Timed("cpu", rows, 2.0))

    def run(*arguments: object) -> Answer:
        where = ["--database-url", database_url, "--data-dir", str(tmp_path / "data")]
        with pytest.raises(SystemExit) as caught:
            cli_models.app([*map(str, arguments), *where])
        status = caught.value.code
        assert isinstance(status, int)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def sample(folder: Path, version: str, score: float = 0.9, **values: Any) -> Path:
    write_sample(folder / version, version, metrics={"score": score}, data={"split": "s"},
                 **values)
    return folder / version


def stages(models: Callable[..., Answer]) -> dict[str, str]:
    return {row["version"]: row["stage"] for row in json.loads(models("list", "--json")[1])}


def test_a_version_all_the_way_and_back(models, tmp_path, postgres, database_url) -> None:
    assert "no models yet" in models("list")[1]
    status, out, err = models("publish", sample(tmp_path, "1.0"), "--why", "the first")
    assert (status, err) == (0, "")
    assert out.startswith("sample@1.0 is candidate (")
    assert models("promote", "sample", "1.0") == (0, "sample@1.0 is live now (it was candidate).\n",
                                                  "")
    models("publish", sample(tmp_path, "1.1", 0.92))
    assert "shadow now" in models("shadow", "sample", "1.1")[1]
    assert "canary 10.0% now" in models("canary", "sample", "1.1", "--share", "0.1")[1]
    assert stages(models) == {"1.0": "live", "1.1": "canary"}
    assert models("promote", "sample", "1.1")[0] == 0
    assert stages(models) == {"1.1": "live", "1.0": "retired"}
    status, out, _ = models("rollback", "sample", "--why", "it is worse")
    assert (status, out) == (0, "sample@1.1 is retired now (it was live).\n"
                                "sample@1.0 is live now (it was retired).\n")
    history = json.loads(models("show", "sample", "--json")[1])
    assert [each["op"] for each in history][:2] == ["rollback", "promote"]
    assert (history[0]["why"], history[0]["actor"]) == ("it is worse", "console")
    assert history[1]["figures"]["candidate"]["figures"] == {"score": 0.92}
    assert history[1]["figures"]["live"]["version"] == "sample@1.0"
    assert history[1]["figures"]["candidate"]["run_ms"] == 2.0
    told = postgres.value(database_url, "SELECT string_agg(action, ' ' ORDER BY sequence)"
                                        " FROM audit_log WHERE object_kind = 'model'")
    assert told.split()[-1] == "model.rollback"


def test_what_is_shown(models, tmp_path) -> None:
    models("publish", sample(tmp_path, "1.0", notes="Only a sample."))
    models("promote", "sample", "1.0")
    table = models("list")[1].splitlines()
    assert table[0].split() == [
        "name", "version", "stage", "kind", "size", "licence", "from", "id"]
    assert table[1].split()[:4] == ["sample", "1.0", "live", "bag"]
    shown = models("show", "sample", "1.0")[1]
    for words in ("Only a sample.", "Apache-2.0", "score", "bag of int64 below 64",
                  "float32[6]", "measured: device cpu", "run_ms"):
        assert words in shown
    told = json.loads(models("show", "sample", "1.0", "--json")[1])
    assert told["document"]["kind"] == "bag"
    assert told["evaluations"]["device cpu"] == {"rows": 64, "run_ms": 2.0}
    assert "promote" in models("show", "sample")[1]


def test_the_gate_holds_back_what_is_worse_or_slow(models, tmp_path, monkeypatch) -> None:
    models("publish", sample(tmp_path, "1.0"))
    models("promote", "sample", "1.0")
    models("publish", sample(tmp_path, "1.1", 0.85))
    status, out, err = models("promote", "sample", "1.1")
    assert (status, out) == (1, "")
    assert err == ("atrium: sample@1.1 does not go live. score of sample@1.1 is 0.8500 and must be"
                   " at least 0.8900 (sample@1.0 has 0.9000; the margin is 0.01).\n")
    models("publish", sample(tmp_path, "1.2", 0.95))
    monkeypatch.setattr(cli_models, "_timed", lambda package, rows: Timed("cpu", rows, 99.0))
    assert "takes 99.0 ms for 64 rows on cpu and may take 10 ms" in models(
        "promote", "sample", "1.2")[2]
    assert stages(models) == {"1.0": "live", "1.1": "candidate", "1.2": "candidate"}


@pytest.mark.parametrize(("arguments", "said"), [
    (("publish", "nowhere"), "is no model"),
    (("show", "other"), "no model 'other'"),
    (("show", "sample", "9"), "no version '9'"),
    (("promote", "sample", "9"), "no version '9'"),
    (("canary", "sample", "1.0"), "No version of sample is live yet"),
    (("shadow", "other", "1"), "no model 'other'"),
    (("rollback", "sample"), "nothing to roll back"),
    (("rollback", "other"), "no model 'other'"),
    (("retire", "sample", "2"), "no version 2"),
    (("retire", "sample", "1.0", "--why", "x" * 501), "reason is too long"),
])
def test_what_cannot_be_done_is_one_sentence(models, tmp_path, arguments, said) -> None:
    models("publish", sample(tmp_path, "1.0"))
    status, out, err = models(*arguments)
    assert (status, out) == (1, "")
    assert said in err
    assert err.startswith("atrium: ")
    assert err.count("\n") == 1
    assert stages(models) == {"1.0": "candidate"}


def test_a_pickle_is_refused_and_nothing_is_kept(models, tmp_path) -> None:
    folder = sample(tmp_path, "1.0")
    (folder / "weights.pkl").write_bytes(b"\x80\x04.")
    status, _, err = models("publish", folder)
    assert status == 1
    assert "weights.pkl" in err
    assert "never opened" in err
    assert stages(models) == {}
    assert not (tmp_path / "data" / "models").exists()


def test_without_torch_it_is_said_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "atrium_server.inference.trial", None)
    package: Any = None
    with pytest.raises(cli_models.ModelError, match=r'pip install "atrium\[brain\]"'):
        cli_models._timed(package, 64)


def test_the_speed_of_what_comes_with_atrium_is_measured() -> None:
    trial = pytest.importorskip("atrium_server.inference.trial", exc_type=ModuleNotFoundError)
    from atrium_server.registry.builtins import find_builtins
    from atrium_server.registry.files import ObjectFiles
    from atrium_server.registry.packages import load_package

    came_with = find_builtins()
    files = ObjectFiles(Path("nowhere"), came_with.paths)
    for document in came_with.documents:
        package: Package = load_package(files, document.id)
        timed = trial.time_version(package, 16, "cpu")
        assert (timed.device, timed.rows) == ("cpu", 16)
        assert timed.run_ms > 0


def test_the_command_is_one_of_atrium(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.app(["models", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for command in ("list", "show", "train", "evaluate", "compress", "publish", "shadow",
                    "canary", "promote", "rollback", "retire"):
        assert command in out


# --- training and evaluation -------------------------------------------------------------


@pytest.fixture
def train(capsys) -> Callable[..., Answer]:
    """`atrium models train ARGUMENTS`, without a database."""

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as caught:
            cli_models.app(["train", *map(str, arguments)])
        status = caught.value.code
        assert isinstance(status, int)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_the_version_that_came_with_atrium_is_evaluated_on_lines(models, tmp_path) -> None:
    pytest.importorskip("torch")
    (built_in,) = FOLDER.glob("moderation-*.json")
    models("publish", built_in)
    version = json.loads(built_in.read_bytes())["version"]
    rows = [{"text": "you are a stupid bitch", "labels": {"toxic": 1}},
            {"text": "good morning everybody", "labels": {"toxic": 0, "spam": 0}}]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)))
    status, out, err = models("evaluate", "moderation", version, "--set", lines)
    assert (status, err) == (0, "")
    assert "recall" in out
    told = json.loads(models("show", "moderation", version, "--json")[1])
    assert told["evaluations"]["lines.jsonl"] == {
        "lines": 2, "roc_auc_toxic": 1.0, "roc_auc": 1.0, "recall": 1.0, "blocked": 0.0}
    status, _, err = models("evaluate", "moderation", version, "--set", tmp_path / "gone.tsv")
    assert (status, err.count("\n")) == (1, 1)
    models("publish", sample(tmp_path, "1.0"))
    assert "has no labels" in models("evaluate", "sample", "1.0", "--set", lines)[2]


def test_a_smaller_version_is_written_with_what_each_way_costs(models, tmp_path) -> None:
    pytest.importorskip("torch")
    (built_in,) = FOLDER.glob("moderation-*.json")
    models("publish", built_in)
    version = json.loads(built_in.read_bytes())["version"]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(
        json.dumps({"text": text, "labels": {"toxic": is_toxic}}) for text, is_toxic in (
            ("you are a stupid bitch", 1), ("fuck you", 1), ("good morning everybody", 0),
            ("where is the stage?", 0))
    ))
    command = ("compress", "moderation", version, "--set", lines, "--out", tmp_path / "out")
    status, out, err = models(*command, "--as", "9.0", "--way", "int8, 1/2 of the rows")
    assert (status, err) == (0, "")
    assert "float32" in out
    assert "moderation@9.0 is int8, 1/2 of the rows." in out
    assert models("publish", tmp_path / "out")[0] == 0
    card = json.loads(models("show", "moderation", "9.0", "--json")[1])["document"]
    assert card["metrics"]["compressed_from"] == f"moderation@{version}"
    assert "no way 'zip'" in models(*command, "--as", "9.1", "--way", "zip")[2]
    assert "was not evaluated" in models("promote", "moderation", "9.0")[2]
    models("publish", sample(tmp_path, "1.0"))
    assert "only text_head" in models(
        "compress", "sample", "1.0", "--set", lines, "--as", "2", "--out", tmp_path / "x")[2]


def test_what_is_trained_is_written_and_not_published(models, train, tmp_path, monkeypatch) -> None:
    recipes = pytest.importorskip("atrium_server.training.recipes", exc_type=ModuleNotFoundError)
    asked: list[Any] = []

    def recipe(order: Any) -> Any:
        asked.append(order)
        order.progress("epoch 1", 1, 2)
        return write_sample(order.folder, order.version, metrics={"score": 0.5})

    monkeypatch.setattr(recipes, "RECIPES", {"sample": recipe, "moderation": recipe})
    status, out, err = train("sample", "--version", "1.0", "--out", tmp_path / "out", "--seed", 3)
    assert (status, err) == (0, "")
    assert "score" in out
    assert (asked[0].seed, asked[0].version, asked[0].feedback) == (3, "1.0", None)
    assert models("publish", tmp_path / "out")[0] == 0
    status, _, err = train("other", "--version", "1", "--out", tmp_path)
    assert (status, "no recipe for 'other': there are moderation, sample" in err) == (1, True)
    status, out, _ = models("train", "moderation", "--version", "2", "--with-feedback",
                            "--out", tmp_path / "more")
    assert (status, out.splitlines()[0]) == (0, "0 rows of feedback are learnt from.")
    assert len(asked[-1].feedback) == 0
    assert "leave --with-feedback out" in models(
        "train", "sample", "--version", "2", "--with-feedback", "--out", tmp_path)[2]
    assert "say --with-feedback, too" in models(
        "train", "moderation", "--version", "2", "--on", "live", "--out", tmp_path)[2]
    status, _, err = models("train", "moderation", "--version", "2", "--with-feedback",
                            "--on", "7.7", "--out", tmp_path)
    assert (status, "There is no" in err) == (1, True)


def test_data_that_is_not_there_is_told(train, tmp_path) -> None:
    pytest.importorskip("torch")
    status, _, err = train("emotion", "--version", "1", "--data", tmp_path / "none",
                           "--out", tmp_path / "out")
    assert (status, err.count("\n")) == (1, 1)
