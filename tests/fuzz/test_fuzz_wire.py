"""A short, seeded run of the fuzz target, so that the target itself cannot rot."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SEED = 20_240


@pytest.fixture(name="fuzz")
def _fuzz() -> ModuleType:
    path = Path(__file__).with_name("fuzz_wire.py")
    spec = importlib.util.spec_from_file_location("fuzz_wire", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_target_takes_damaged_vectors(fuzz: ModuleType) -> None:
    fuzz.fuzz_plain(3_000, SEED)


def test_the_target_notices_a_decoder_that_crashes(
    fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_data: bytes) -> None:
        raise IndexError("a bug")

    monkeypatch.setattr(fuzz.codec, "decode_client", broken)
    with pytest.raises(IndexError):
        fuzz.fuzz_plain(1, SEED)
    assert f"seed {SEED}, round 0" in capsys.readouterr().err
