"""The student's process: the same numbers as here, and an end that nobody pays for."""

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from served import random_bundle
from xnn.errors import BusyError, StorageError
from xnn.models.coupling import Coupling
from xnn.models.noise_generator import Opener
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.server.batching import StudentBatcher
from xnn.server.bundle import load_server_bundle, save_server_bundle
from xnn.server.student import StudentProcess

TAIL = TailConfig(n=4, d=16, tail_depth=1, heads=2, embedding_dim=8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("student") / "bundles", TAIL) / "server"


@pytest.fixture(scope="module")
def student(bundle: Path) -> Iterator[StudentProcess]:
    process = StudentProcess(bundle, threads=1)
    process.wait_until_ready()
    yield process
    process.close()


def records(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, TAIL.n, TAIL.d)).astype(np.float32)


def expected(bundle: Path, sent: np.ndarray) -> np.ndarray:
    return load_server_bundle(bundle).embed(torch.from_numpy(sent)).numpy()


def gone(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{process_id}/stat")
    return status.is_file() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_it_says_what_the_student_says_here(bundle: Path, student: StudentProcess) -> None:
    seconds: list[float] = []
    student.on_seconds = seconds.append
    for count in (1, 7, 300):
        sent = records(count, count)
        assert np.allclose(student.embed(sent), expected(bundle, sent), atol=1e-5)
    assert len(seconds) == 3
    assert min(seconds) >= 0


def test_numbers_of_a_coupled_front_keep_their_digits(tmp_path: Path) -> None:
    """Its rounds multiply what float32 would round off."""
    opener = Opener(Coupling(8, rounds=4, gain=1.0), torch.ones(6))
    generator = torch.Generator().manual_seed(0)
    for name, tensor in opener.coupling.named_buffers():
        if name != "mixing":
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    tail = TailConfig(n=1, d=6, tail_depth=0, heads=2, embedding_dim=8)
    plain = load_server_bundle(random_bundle(tmp_path / "plain", tail) / "server")
    coupling = {"width": 8, "rounds": 4, "gain": 1.0}
    card = dataclasses.replace(plain.card, e=8, coupling=coupling)
    save_server_bundle(tmp_path / "server", Tail(tail), opener, card)
    sent = np.random.default_rng(0).random((20, 1, 8))
    student = StudentProcess(tmp_path / "server", threads=1)
    try:
        found, rounded = student.embed(sent), student.embed(sent.astype(np.float32))
    finally:
        student.close()
    assert np.allclose(found, expected(tmp_path / "server", sent), atol=1e-6)
    assert not np.allclose(rounded, found, atol=1e-6)


def test_two_callers_at_once_each_get_their_own(bundle: Path, student: StudentProcess) -> None:
    sent = [records(1 + i % 5, i) for i in range(40)]
    answers: dict[int, np.ndarray] = {}

    def call(first: int) -> None:
        for number in range(first, len(sent), 2):
            answers[number] = student.embed(sent[number])

    threads = [threading.Thread(target=call, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here = load_server_bundle(bundle)
    for number, part in enumerate(sent):
        wanted = here.embed(torch.from_numpy(part)).numpy()
        assert np.allclose(answers[number], wanted, atol=1e-5)


def test_a_process_that_was_killed_is_started_again(bundle: Path, student: StudentProcess) -> None:
    before = student.process_id
    os.kill(before, signal.SIGKILL)
    sent = records(3)
    assert np.allclose(student.embed(sent), expected(bundle, sent), atol=1e-5)
    assert student.process_id != before


def test_what_was_asked_of_a_process_that_was_killed_is_asked_again(
    bundle: Path, student: StudentProcess
) -> None:
    """Whatever the order in which the answers are heard."""
    sent = [records(200, 1), records(2, 2), records(3, 3)]
    first, second = student.ask(sent[0]), student.ask(sent[1])
    os.kill(student.process_id, signal.SIGKILL)
    found = [first(), None, None]
    third = student.ask(sent[2])
    found[1], found[2] = second(), third()
    for part, answer in zip(sent, found, strict=True):
        assert np.allclose(answer, expected(bundle, part), atol=1e-5)


def test_answers_belong_to_their_questions(bundle: Path, student: StudentProcess) -> None:
    sent = [records(count, count) for count in (5, 1, 3)]
    asked = [student.ask(part) for part in sent]
    for part, embeddings in reversed(list(zip(sent, asked, strict=True))):
        assert np.allclose(embeddings(), expected(bundle, part), atol=1e-5)


def test_answers_that_fill_the_socket_are_heard_while_more_is_asked(
    student: StudentProcess,
) -> None:
    """Each question and each answer is larger than what a socket holds."""
    batcher = StudentBatcher(student.ask, max_batch=30_000, max_queued=10**6)
    asked = [batcher.submit(records(30_000, seed)) for seed in range(6)]
    assert [future.result(60).shape for future in asked] == [(30_000, 8)] * 6
    batcher.close()


def test_a_stop_signal_to_the_group_leaves_it_to_finish(
    bundle: Path, student: StudentProcess
) -> None:
    before = student.process_id
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(before, number)
    time.sleep(0.1)
    sent = records(2)
    assert np.allclose(student.embed(sent), expected(bundle, sent), atol=1e-5)
    assert student.process_id == before


def test_records_that_kill_it_twice_are_refused_and_the_next_are_not(
    bundle: Path, student: StudentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = type(student._child)
    send = child.send

    def kill_and_send(self, sent: np.ndarray) -> int:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return send(self, sent)

    monkeypatch.setattr(child, "send", kill_and_send)
    with pytest.raises(BusyError, match="ended twice"):
        student.embed(records(1))
    monkeypatch.undo()
    assert np.allclose(student.embed(records(1)), expected(bundle, records(1)), atol=1e-5)


def test_it_ends_when_nobody_is_left_to_ask(bundle: Path) -> None:
    process = StudentProcess(bundle, threads=1)
    process.wait_until_ready()
    number = process.process_id
    process.close()
    process.close()
    assert gone(number)


def test_a_bundle_that_is_none_is_said_at_once(tmp_path: Path) -> None:
    process = StudentProcess(tmp_path, threads=1)
    try:
        with pytest.raises(StorageError, match=r"no server\.json"):
            process.wait_until_ready()
    finally:
        process.close()
