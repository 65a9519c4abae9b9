"""`xnn device` as a user has it: a process of its own, the key from environment or file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from served import Running

WATCHED = """
import sys
sys.argv = ["xnn", *sys.argv[1:]]
from xnn.cli.main import run
try:
    run()
finally:
    loaded = {name.partition(".")[0] for name in sys.modules}
    sys.stderr.write("LOADED " + " ".join(sorted(loaded & {"torch", "onnxruntime", "httpx"})))
"""


class Shell:
    """Runs `xnn device` and tells how it went."""

    def __init__(self, key: str | None) -> None:
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("XNN_")}
        if key is not None:
            self._environment["XNN_API_KEY"] = key

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WATCHED, "device", *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def result(self, *arguments: object, status: int = 0) -> dict:
        done = self(*arguments)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    def error(self, *arguments: object) -> str:
        done = self(*arguments)
        assert done.returncode in (1, 2)
        assert done.stdout == ""
        (line,) = [row for row in done.stderr.splitlines() if not row.startswith("LOADED")]
        assert line.startswith("xnn: ")
        return line


@pytest.fixture
def shell(served: Running) -> Shell:
    return Shell(served.site.keys["b"])


def photo(orl: Path, subject: int, shot: int) -> Path:
    return orl / f"s{subject}" / f"{shot}.pgm"


def test_a_person_is_enrolled_verified_and_found(
    shell: Shell, served: Running, exported, orl_photos: Path, tmp_path: Path
) -> None:
    where = ("--bundle", exported.device, "--url", served.url)
    picture = tmp_path / "left.png"
    mine = [photo(orl_photos, 31, shot) for shot in (1, 2)]
    enrolled = shell.result("enrol", "badge-31", *mine, *where, "--show", picture)
    assert [row["photograph"] for row in enrolled["templates"]] == ["1.pgm", "2.pgm"]
    assert all(len(row["template_id"]) == 32 for row in enrolled["templates"])
    assert enrolled["records"] == "2 of 1x20"
    assert enrolled["message_bytes"] < 600
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.mode == "L"
        assert np.asarray(image).std() > 20

    verified = shell.result("verify", "badge-31", mine[0], *where)
    assert verified["match"]
    stranger = photo(orl_photos, 33, 1)
    shell.result("verify", "badge-31", stranger, *where, "--far", "0.001", status=3)
    found = shell.result("search", mine[1], *where)
    assert found["candidates"][0]["subject_id"] == "badge-31"
    assert found["gallery_size"] >= 2


def test_a_dry_run_needs_neither_key_nor_service_and_loads_no_torch(
    exported, orl_photos: Path
) -> None:
    done = Shell(None)(
        *("enrol", "badge-1", photo(orl_photos, 31, 1), "--bundle", exported.device, "--dry-run")
    )
    shown = json.loads(done.stdout)
    assert shown["sent"] is False
    assert shown["records"] == "1 of 1x20"
    assert shown["dtype"] == "fixed32"
    assert 48 + 80 < shown["message_bytes"] < 48 + 512 + 80
    assert shown["photographs"][0]["faces"] == 1
    assert done.stderr.endswith("LOADED onnxruntime")


def test_a_sending_run_loads_no_torch_either(
    shell: Shell, served: Running, exported, orl_photos: Path
) -> None:
    done = shell(
        *("search", photo(orl_photos, 31, 1), "--bundle", exported.device, "--url", served.url)
    )
    assert done.stderr.endswith("LOADED httpx onnxruntime")


def test_the_key_may_lie_in_a_file_that_nobody_else_reads(
    served: Running, exported, orl_photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "device.key"
    path.write_text(served.site.keys["b"] + "\n")
    path.chmod(0o600)
    call = ("search", photo(orl_photos, 32, 1), "--bundle", exported.device, "--url", served.url)
    done = Shell(None)(*call, "--api-key-file", path)
    assert done.returncode in (0, 3), done.stderr
    path.chmod(0o644)
    assert "run chmod 600" in Shell(None).error(*call, "--api-key-file", path)
    assert "set XNN_API_KEY" in Shell(None).error(*call)


def test_mistakes_are_one_line(
    shell: Shell, served: Running, exported, orl_photos: Path, tmp_path: Path
) -> None:
    wall = tmp_path / "wall.png"
    Image.new("RGB", (200, 200)).save(wall)
    bundle = ("--bundle", exported.device)
    face = photo(orl_photos, 31, 1)
    assert "'wall.png' shows no face" in shell.error("enrol", "a", face, wall, *bundle)
    assert "--url is missing" in shell.error("search", face, *bundle)
    there = ("--url", served.url)
    assert "unknown-name" not in shell.error("verify", "nobody", face, *bundle, *there)
    assert "subject_id of 3 characters" in shell.error("verify", "a/b", face, *bundle, *there)
    assert "is a server's bundle" in shell.error(
        "search", face, "--bundle", exported.server, *there
    )
    assert "would cross the network in the clear" in shell.error(
        "search", face, *bundle, "--url", "http://faces.example"
    )
    refused = shell.error("search", face, *bundle, *there, "--dtype", "int8")
    assert "dtype=int8" in refused
