"""A device needs no torch: not loaded, and not imported by anything on the way."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

MODULES = ("bundle", "card", "pipeline", "client", "async_client")

BLOCKED = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "pyarrow", "fastapi", "sqlalchemy"):
            raise ImportError(name + " is not on a device")

sys.meta_path.insert(0, Refuse())
importlib.import_module({module!r})
sys.stdout.write(" ".join(sys.modules))
"""


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_the_device_load_where_torch_is_missing(name: str) -> None:
    module = f"xnn.device.{name}"
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(module=module)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert module in loaded
    assert not [n for n in loaded if n.startswith(("torch", "xnn.schemes", "xnn.models"))]


def test_the_extra_of_a_device_names_no_torch() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["device"]]
    names = {re.split(r"[<>=\[;]", requirement)[0] for requirement in asked}
    assert {"httpx", "cbor2", "onnxruntime", "numpy"} <= names
    assert not names & {"torch", "onnx", "lightning-fabric", "xnn-face"}
