"""Two processes on one machine train one tail."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from pathlib import Path
import conftest
tail, head, result = conftest.train(Path(sys.argv[2]), conftest.config(devices=2, epochs=2))
total = sum(p.detach().double().abs().sum().item() for p in [*tail.parameters(), head.weight])
sys.stdout.write(f"{total!r} {[r.train_loss for r in result.history]} {result.best}\\n")
"""


@pytest.mark.dist
def test_two_processes_end_with_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, str(script), str(Path(__file__).parent), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == second
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
