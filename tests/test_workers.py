"""Workers of a pool end when its owner is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OWNER = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from xnn.workers import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent
    )
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600).result()
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_workers_of_a_killed_owner_end(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    worker = int(owner.stdout.readline())
    assert alive(worker)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    end = time.monotonic() + 20
    while alive(worker):
        assert time.monotonic() < end, "the worker outlives its owner"
        time.sleep(0.05)
    owner.stdout.close()
