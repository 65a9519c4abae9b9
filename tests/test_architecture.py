"""Who may know whom, how large things grow, and what the cloud's process never loads."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import xnn
from xnn.schemes import KeyStream, find_scheme
from xnn.secret import KeyFile, KeyScope, SecretKey

ROOT = Path(xnn.__file__).parent
PROJECT = ROOT.parents[1]
FILES = sorted(ROOT.rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

LONG_FUNCTIONS = frozenset(
    {"cloud/job.py:run_job", "owner/rekey.py:rekey_shards", "training/loop.py:fit"}
)
"""`file.py:function` of those over the limit; take one out when it is cut, add none."""

# Commands are long because each option stands there with its help.
LONG_COMMANDS = frozenset(
    {
        "cli/train.py:train",
        "cli/shard.py:build",
        "cli/measure.py:utility",
        "cli/serve.py:serve",
        "cli/audit.py:audit",
        "cli/noise.py:train",
    }
)

INTERNAL_ASSERTS = frozenset({"training/run.py"})
"""Files that assert something of our own, for the type checker."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the project's contracts on the `xnn` below a folder."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [*command, "--config", str(PROJECT / "pyproject.toml"), "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_directions_are_kept() -> None:
    done = lint_imports(ROOT.parent)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("cloud/job.py", "from xnn.secret import SecretKey", "The untrusted side never reaches"),
        ("attacks/observation.py", "import xnn.owner.build", "An attack draws its own keys"),
        ("metrics/chance.py", "import torch", "Formats, keys and metrics start without torch"),
        ("faces/detection/area.py", "import torch", "A device starts without torch"),
        ("owner/plan.py", "import xnn.cloud.bundle", "Layers: who may know whom"),
    ],
)
def test_a_planted_leak_is_caught(tmp_path: Path, file: str, line: str, broken: str) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT, tmp_path / "xnn", ignore=ignored)
    path = tmp_path / "xnn" / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    verdicts = re.findall(r"^(.*) BROKEN$", done.stdout, re.MULTILINE)
    assert any(verdict.startswith(broken) for verdict in verdicts), done.stdout


def test_files_stay_small() -> None:
    lengths = {name_of(f): len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert {f: n for f, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_functions_stay_small() -> None:
    found = {
        f"{name_of(path)}:{node.name}"
        for path in FILES
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert found - LONG_COMMANDS <= LONG_FUNCTIONS


def test_names_of_files_say_what_is_in_them() -> None:
    bad = re.compile(r"(_v\d|(^|_)(new|old|final|misc|utils?|helpers?)(_|\.|$))")
    assert [name_of(f) for f in FILES if bad.search(f.stem)] == []


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_print_no_pickle_no_unsafe_load() -> None:
    bad: list[str] = []
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        if re.search(r"^\s*(import|from) (pickle|cloudpickle|joblib|dill|shelve)", source, re.M):
            bad.append(f"{name_of(path)}: pickle")
        for function, call in calls(path):
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            safe = options.get("weights_only") == "True"
            if function in ("print", "eval", "exec", "torch.save"):
                bad.append(f"{name_of(path)}:{call.lineno}: {function}")
            if function == "torch.load" and not safe:
                bad.append(f"{name_of(path)}:{call.lineno}: torch.load without weights_only=True")
            if function in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
                bad.append(f"{name_of(path)}:{call.lineno}: np.load without allow_pickle=False")
            if options.get("shell") == "True":
                bad.append(f"{name_of(path)}:{call.lineno}: a shell")
    assert bad == []


def test_nothing_is_asserted_of_the_users_input() -> None:
    """`python -O` strips assertions; what a user may do wrong is an error of ours."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert [place for place in found if place.partition(":")[0] not in INTERNAL_ASSERTS] == []


def test_every_package_says_what_it_is_for() -> None:
    packages = {path.parent for path in FILES if path.name == "__init__.py"}
    silent = [
        name_of(package)
        for package in packages
        if not (package / "README.md").is_file()
        and not ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    ]
    assert silent == []


def test_every_file_and_public_thing_has_a_docstring() -> None:
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name not in ("__init__.py", "__main__.py"):
            assert ast.get_docstring(tree), name_of(path)


def test_lists_of_public_names_are_sorted() -> None:
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                # Constants, then classes, then functions, each by name: ruff's order.
                kinds = [(not n.isupper(), not n[0].isupper(), n) for n in names]
                assert kinds == sorted(kinds), name_of(path)
                assert len(set(names)) == len(names)


LOADED = """
import sys
{statement}
sys.stdout.write(" ".join(m for m in sys.modules if m.startswith("xnn")))
"""


def test_the_untrusted_side_never_loads_key_code() -> None:
    modules = "xnn, xnn.cloud.job, xnn.cloud.bundle, xnn.shards, xnn.schemes, xnn.training.loop"
    modules += ", xnn.attacks.suite, xnn.models.tail"
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(statement=f"import {modules}")],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "xnn.attacks.observation" in loaded
    assert not [name for name in loaded if name.startswith(("xnn.secret", "xnn.owner"))]


TRAIN = """
import atexit, sys

def tell():
    sys.stderr.write("LOADED " + " ".join(m for m in sys.modules if m.startswith("xnn")) + "\\n")

atexit.register(tell)
sys.argv = ["xnn", "train", *sys.argv[1:]]
from xnn.cli.main import run
run()
"""


def test_the_real_train_command_never_loads_key_code(tmp_path: Path) -> None:
    import numpy as np

    from xnn.shards import Manifest, ShardWriter
    from xnn.shards.arrow import encode_shard

    writer = ShardWriter(tmp_path / "shards", plan_digest="toy")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        labels = np.arange(24) % 4
        tokens = rng.normal(size=(24, 4, 8)).astype(np.float32) + labels[:, None, None]
        content = encode_shard(tokens.astype(np.float32), labels, "float32")
        writer.write(f"{split}-0.arrow", content, split=split, records=24)
    writer.finish(
        Manifest(
            scheme="paper",
            scheme_version=1,
            key_id="toy",
            extractor={},
            extractor_digest="0" * 64,
            n=4,
            d=8,
            record_type="float32",
            num_classes={"train": 4, "val": 4},
            shards=writer.entries(),
        )
    )
    arguments = ["shards", "--out", "run", "--preset", "tiny", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "bundle" / "bundle.json").is_file()
    loaded = done.stderr.rpartition("LOADED ")[2].split()
    assert "xnn.cloud.job" in loaded
    assert not [
        name for name in loaded if name.startswith(("xnn.secret", "xnn.owner", "xnn.faces"))
    ]


def test_a_key_never_depends_on_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No parameter asks for one, and seeding every generator changes nothing."""
    for function in (SecretKey.generate, SecretKey.__init__, KeyFile.create, KeyStream.fresh):
        assert not [n for n in inspect.signature(function).parameters if "seed" in n], function
    import random

    import numpy as np
    import torch

    scope = KeyScope(
        dataset="d", extractor_digest="0" * 64, n=4, d=4, scheme="paper", scheme_version=1
    )
    ids, streams = set(), set()
    for _ in range(3):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        ids.add(SecretKey.generate(scope).key_id)
        streams.add(KeyStream.fresh().take(16))
    assert len(ids) == len(streams) == 3
    for path in [*(ROOT / "secret").glob("*.py"), ROOT / "keystream.py"]:
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"np\.random|import random|torch\.manual_seed|default_rng", source)


def test_the_public_scheme_holds_no_key() -> None:
    scheme = find_scheme("paper")
    assert not [name for name in vars(scheme) if "key" in name or "stream" in name]


def test_the_package_is_named_and_typed() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["license"]) == ("xnn-face", "Apache-2.0")
    assert (ROOT / "py.typed").is_file()
