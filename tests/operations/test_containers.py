"""The container files say what they should; no engine runs here, so nothing is built."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import xnn
from xnn.server.settings import ENVIRONMENT_PREFIX, ServeSettings

ROOT = Path(xnn.__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_hadolint_has_nothing_to_say() -> None:
    found = run(str(Path(sys.executable).with_name("hadolint")), "Dockerfile")
    assert found.returncode == 0, found.stdout


def test_hadolint_sees_a_bad_file(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && sudo pip install torch\n")
    assert run(str(Path(sys.executable).with_name("hadolint")), str(bad)).returncode != 0


def test_compose_keeps_to_its_schema() -> None:
    check = str(Path(sys.executable).with_name("check-jsonschema"))
    found = run(check, "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert found.returncode == 0, found.stdout


def test_compose_sets_what_the_service_knows() -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["xnn"]
    names = {n for n in service["environment"] if n.startswith(ENVIRONMENT_PREFIX)}
    known = {ENVIRONMENT_PREFIX + name.upper() for name in ServeSettings.model_fields}
    assert names
    assert names <= known
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize("copied", ["console/package.json", "console/copy.mjs", "pyproject.toml"])
def test_the_image_copies_what_is_there(copied: str) -> None:
    assert (ROOT / copied).is_file()
    assert copied in (ROOT / "Dockerfile").read_text()


def test_nothing_secret_reaches_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*", "everything is left out but what is named"
    named = {line[1:] for line in ignored if line.startswith("!")}
    assert named.isdisjoint({"keys", "bundles", "demo-out", ".git"})
