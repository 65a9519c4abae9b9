"""A device needs no torch: not loaded, and not imported by anything on the way."""

import subprocess
import sys
from importlib.util import find_spec

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
    if find_spec(module) is None:
        pytest.skip("not written yet")
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
