"""Checkpoints: whole or absent, checked, and particular about what goes on."""

import json
from pathlib import Path

import pytest
import torch

from xnn.errors import CorruptError, ResumeError, StorageError, VersionError
from xnn.training import checkpoint as module
from xnn.training.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)

SETTINGS = {"lr": 0.1, "tail.n": 4}


def saved(folder: Path, step: int = 3) -> Checkpoint:
    state = Checkpoint(
        settings=SETTINGS,
        progress={"step": step},
        tensors={"tail/w": torch.arange(6.0).reshape(2, 3).T, "tail/n": torch.tensor(step)},
    )
    save_checkpoint(folder, state)
    return state


def test_what_is_saved_comes_back_and_only_the_last_is_kept(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    saved(tmp_path, step=3)
    state = saved(tmp_path, step=4)
    found = load_checkpoint(tmp_path, settings=SETTINGS)
    assert found.progress == {"step": 4}
    assert found.tensors.keys() == state.tensors.keys()
    assert all(torch.equal(found.tensors[name], state.tensors[name]) for name in state.tensors)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["last.json", "step-00000004.safetensors"]


def test_killed_between_its_two_files_the_old_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, step=3)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path, step=4)
    assert load_checkpoint(tmp_path, settings=SETTINGS).progress == {"step": 3}


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    saved(tmp_path)
    path = tmp_path / "step-00000003.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        content[-1] ^= 1
        path.write_bytes(content)
    with pytest.raises(CorruptError, match="missing or altered"):
        load_checkpoint(tmp_path, settings=SETTINGS)


def test_another_version_is_named(tmp_path: Path) -> None:
    saved(tmp_path)
    pointer = json.loads((tmp_path / "last.json").read_text())
    (tmp_path / "last.json").write_text(json.dumps({**pointer, "version": 9}))
    with pytest.raises(VersionError, match="'xnn-checkpoint' 9"):
        load_checkpoint(tmp_path, settings=SETTINGS)
    del pointer["settings"]
    (tmp_path / "last.json").write_text(json.dumps(pointer))
    with pytest.raises(CorruptError, match="lacks 'settings'"):
        load_checkpoint(tmp_path, settings=SETTINGS)


def test_differing_settings_are_named(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(ResumeError, match=r"lr=0\.1 then, 0\.2 now; resume with the old ones"):
        load_checkpoint(tmp_path, settings={**SETTINGS, "lr": 0.2})


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="checkpoints"):
        saved(tmp_path / "file")


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_goes_on_as_if_nothing_had_happened(make: type) -> None:
    def run(steps: int, memory: dict | None, weight: torch.Tensor) -> tuple:
        parameter = torch.nn.Parameter(weight.clone())
        options = {"momentum": 0.9} if make is torch.optim.SGD else {}
        optimizer = make([parameter], lr=0.1, **options)
        if memory:
            restore_optimizer(optimizer, memory)
        for _ in range(steps):
            optimizer.zero_grad()
            (parameter**3).sum().backward()
            optimizer.step()
        return parameter.detach(), optimizer_tensors(optimizer)

    start = torch.tensor([1.0, -2.0])
    whole, _ = run(4, None, start)
    half, memory = run(2, None, start)
    rest, _ = run(2, memory, half)
    assert torch.equal(whole, rest)
