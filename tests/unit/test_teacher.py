"""The teacher: an encoder that reads rows alone, and learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from atrium_server.training import generated
from atrium_server.training.scores import roc_auc
from atrium_server.training.sources import DataAbsentError
from atrium_server.training.teacher import Course, Teacher, judged, load_teacher, tune
from atrium_server.training.texts import labelled


def test_padding_and_neighbours_change_nothing() -> None:
    torch.manual_seed(1)
    teacher = Teacher(3, 50, positions=16).eval()
    alone = torch.tensor([[5, 6, 7]])
    padded = torch.tensor([[5, 6, 7, 0, 0], [9, 8, 7, 6, 5]])
    with torch.inference_mode():
        assert torch.allclose(teacher(alone)[0], teacher(padded)[0], atol=1e-5)


def test_frozen_layers_learn_nothing() -> None:
    teacher = Teacher(2, 20, positions=8)
    teacher(torch.tensor([[1, 2, 3]]), 2).sum().backward()
    learned = {name.split(".")[1] for name, each in teacher.named_parameters()
               if each.grad is not None and name.startswith("layers")}
    assert learned == {"2", "3", "4", "5"}
    assert teacher.words.weight.grad is None
    assert teacher.head.weight.grad is not None


def test_it_learns_and_its_encoder_is_the_package_s() -> None:
    try:
        teacher, tokenizer = load_teacher(1)
    except DataAbsentError as error:
        pytest.skip(str(error))
    pairs = ("a cat sits on the mat", "a kitten rests on the carpet", "stock markets fell sharply")
    ids = [tokenizer.encode(text).ids for text in pairs]
    kept: list[torch.Tensor] = []
    teacher.head.register_forward_hook(lambda module, given, made: kept.append(given[0]))
    teacher.eval()
    with torch.inference_mode():
        for each in ids:
            teacher(torch.tensor([each]))
    unit = torch.nn.functional.normalize(torch.cat(kept))
    assert float(unit[0] @ unit[1]) > 0.5 > 0.2 > float(unit[0] @ unit[2])

    rows = [(text, [1.0], 1.0) for text in generated.lines("threat", 96, 1)]
    rows += [(text, [0.0], 1.0) for text in generated.lines("benign", 96, 1)]
    data = labelled(rows, 1)
    course = Course(epochs=1, batch=16, frozen_layers=5, rate=1e-3, head_rate=1e-2)
    said = judged(*tune(data, course), data.texts)
    assert roc_auc(said[:, 0], data.targets[:, 0]) > 0.9
    assert np.isfinite(said).all()
