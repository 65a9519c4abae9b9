"""Board, pre-flight and audit on the command line, on real faces of people nobody trained on."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xnn.attacks.suite import ATTACKS
from xnn.cli import preflight
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.owner.build import build_shards
from xnn.secret import KeyFile
from xnn.shards.arrow import encode_shard

PASSPHRASE = "correct horse"
POLICY = """
name = "pairs"
probes = 60
[[rule]]
name = "with 20 known pairs"
protocol = "linkage"
metric = "rank_1"
known_pairs = 20
max_times_chance = 2
"""


@pytest.fixture(scope="module")
def people(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The owner's eighteen subjects and the attacker's thirteen, six photographs each."""
    root = tmp_path_factory.mktemp("people")
    for name, subjects in (("owner", range(1, 19)), ("others", range(19, 32))):
        for subject in subjects:
            folder = root / name / f"s{subject}"
            folder.mkdir(parents=True)
            for shot in range(1, 7):
                with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as photo:
                    photo.convert("RGB").resize((112, 112)).save(folder / f"{shot}.png")
    return root / "owner", root / "others"


@pytest.fixture(scope="module")
def shards(people: tuple[Path, Path], new_key, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("upload")
    keyfile = KeyFile.open(new_key(root / "owner.key"), PASSPHRASE)
    build_shards(load_faces(people[0]), load_extractor("dlib"), keyfile, root / "shards")
    return root / "shards"


@pytest.fixture(autouse=True)
def _one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_an_audit_fails_the_paper_scheme_and_says_why(
    xnn, people: tuple[Path, Path], shards: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs.toml").write_text(POLICY)
    out = tmp_path / "audit"
    arguments = ("audit", shards, "--public", people[1], "--faces", people[0], "--out", out)
    outcome = xnn(*arguments, "--policy", tmp_path / "pairs.toml")
    assert outcome.status == 3, outcome.stderr
    told = json.loads(outcome.stdout)
    assert told["verdict"] == "fail"
    assert re.search("with 20 known pairs: does not hold; [a-z-]+ reaches rank_1", told["why"])
    written = json.loads((out / "report.json").read_text())
    assert written["passed"] is False
    assert written["records"] == 18 * 6
    assert written["agreement"]["protocol"] == "self_agreement"
    page = (out / "report.html").read_text()
    assert "FAIL" in page
    assert "What is not protected" in page
    assert "data:image" not in page, "no face unless asked for"
    assert written["guarantee"].startswith("None. Nothing here is proved")
    assert written["proved"] is None
    assert "What a level grants" in page
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF-")
    for name in ("report.html", "report.pdf"):
        assert oct(os.stat(out / name).st_mode)[-3:] == "600"
    again = xnn(*arguments, "--policy", tmp_path / "pairs.toml")
    assert json.loads(again.stdout)["rules"] == told["rules"], "finished cells are kept"


def test_one_attack_on_the_command_line(xnn, people: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "attack.json"
    found = xnn(
        *("attack", "run", "known-plaintext", "--victim", people[0], "--public", people[1]),
        *("--schemes", "paper", "--seeds", 1, "--pairs", 20, "--probes", 40, "--out", out),
    ).result
    rows = {(r["scheme"], r["protocol"], r["metric"]): r for r in found["rows"]}
    assert rows["paper", "instance", "rank_1"]["value"] > 0.5, "chance is 1 in 40"
    assert rows["paper", "linkage", "rank_1"]["known_level"] == "K4"
    assert json.loads(out.read_text())["public"] == "others"
    assert "known-plaintext, 20 pairs" in out.with_suffix(".md").read_text()
    assert "<title>" in out.with_suffix(".html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("board", "--schemes", "rot13"), "unknown scheme 'rot13'"),
        (("board", "--attacks", "magic"), "unknown attack 'magic'"),
        (("board", "--public-faces", "mine"), "public_faces='mine'"),
        (("board", "--pairs", "few"), "pairs='few'"),
        (("attack", "run", "magic"), "unknown attack 'magic'"),
    ],
)
def test_wrong_usage(
    xnn, people: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    victim = ("--victim", people[0], "--public", people[1], "--out", tmp_path / "x.json")
    outcome = xnn(*arguments, *victim)
    assert outcome.status == 2
    assert said in outcome.error


def test_people_in_both_sets_are_refused(xnn, people: tuple[Path, Path], tmp_path: Path) -> None:
    both = ("--victim", people[0], "--public", people[0], "--out", tmp_path / "x.json")
    assert "18 subjects are in the victim's and in the public set" in xnn("board", *both).error


def test_victims_in_the_public_set_are_reported_and_left_out(
    xnn, people: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(people[1], tmp_path / "others")
    shutil.copy(people[0] / "s1" / "1.png", tmp_path / "others" / "s19" / "a copy.png")
    outcome = xnn(
        *("attack", "run", "known-plaintext", "--victim", people[0], "--public"),
        *(tmp_path / "others", "--seeds", 1, "--pairs", 20, "--probes", 40, "--schemes", "paper"),
        *("--workers", 1, "--out", tmp_path / "x.json"),
    )
    assert outcome.status == 0
    assert "1 public photographs are copies of the victims'; they are left out" in outcome.stderr


def test_shards_of_another_version_of_their_scheme_are_one_line(
    xnn, people: tuple[Path, Path], shards: Path, tmp_path: Path
) -> None:
    shutil.copytree(shards, tmp_path / "later")
    manifest = tmp_path / "later" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"scheme_version": 9}))
    outcome = xnn(
        *("audit", tmp_path / "later", "--public", people[1], "--faces", people[0]),
        *("--out", tmp_path / "audit"),
    )
    assert outcome.status == 1
    assert "version 9 of 'paper'" in outcome.error
    manifest.write_text(json.dumps(content | {"scheme": "rot13"}))
    outcome = xnn(
        *("audit", tmp_path / "later", "--public", people[1], "--faces", people[0]),
        *("--out", tmp_path / "audit"),
    )
    assert "unknown scheme 'rot13'" in outcome.error


def test_an_unknown_rule_is_one_line(
    xnn, people: tuple[Path, Path], shards: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text(POLICY.replace("max_times_chance", "max_times"))
    outcome = xnn(
        *("audit", shards, "--public", people[1], "--out", tmp_path / "audit"),
        *("--policy", tmp_path / "bad.toml"),
    )
    assert "unknown setting 'max_times'" in outcome.error


def test_attacks_are_listed(xnn) -> None:
    names = [row["name"] for row in xnn("attack", "list").result["attacks"]]
    assert {"unpaired-moments", "known-plaintext", "expectation-recognition"} <= set(names)


def refused(xnn, subject: Path, people: tuple[Path, Path], tmp_path: Path, *more: object) -> str:
    """The one line with which an audit is refused before it attacks anything."""
    sets = ("--public", people[1], "--faces", people[0])
    outcome = xnn("audit", subject, *sets, "--out", tmp_path / "audit", *more)
    assert not (tmp_path / "audit" / "report.json").exists()
    return outcome.error


def rewrite(shards: Path, tokens: np.ndarray, **changes: object) -> None:
    """Put other records into the first shard, with a manifest that fits them."""
    path = shards / "manifest.json"
    manifest = json.loads(path.read_text())
    entry = manifest["shards"][0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "isfinite", lambda values: np.ones(np.shape(values), dtype=bool))
        content = encode_shard(tokens, np.zeros(len(tokens), dtype=np.int64), "float32")
    (shards / entry["file"]).write_bytes(content)
    entry |= {"records": len(tokens), "size_bytes": len(content)}
    entry |= {"sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(json.dumps(manifest | {"record_type": "float32", "shards": [entry]} | changes))


def test_hostile_shards_are_one_line_before_any_attack(
    xnn, people: tuple[Path, Path], shards: Path, tmp_path: Path
) -> None:
    records = np.random.default_rng(0).normal(size=(20, 16, 256)).astype(np.float32)
    records[3, 2, 1] = np.nan
    rewrite(shutil.copytree(shards, tmp_path / "nan"), records)
    assert "NaN or infinity" in refused(xnn, tmp_path / "nan", people, tmp_path)
    narrow = np.zeros((20, 4, 8), dtype=np.float32)
    rewrite(shutil.copytree(shards, tmp_path / "shape"), narrow, n=4, d=8)
    told = refused(xnn, tmp_path / "shape", people, tmp_path)
    assert "records of 4x8, scheme 'paper' makes 16x256" in told
    (tmp_path / "nothing").mkdir()
    assert "nothing" in refused(xnn, tmp_path / "nothing", people, tmp_path)


@pytest.mark.parametrize(
    ("card", "said"),
    [("server.json", "a server's bundle, which never leaves"), ("bundle.json", "audit the shards")],
)
def test_other_bundles_than_a_devices_are_not_audited(
    xnn, people: tuple[Path, Path], tmp_path: Path, card: str, said: str
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / card).write_text("{}")
    assert said in refused(xnn, tmp_path / "bundle", people, tmp_path)


def test_what_cannot_be_audited_is_told_before_any_attack(
    xnn, people: tuple[Path, Path], shards: Path, tmp_path: Path
) -> None:
    alone = xnn("audit", shards, "--public", people[1], "--out", tmp_path / "a", "--pictures")
    assert "give them with --faces" in alone.error
    (tmp_path / "device.toml").write_text(POLICY.replace("known_pairs = 20", 'phase = "inference"'))
    policy = ("--policy", tmp_path / "device.toml")
    assert "no rule with phase = 'training'" in refused(xnn, shards, people, tmp_path, *policy)


def test_a_pre_flight_is_a_screen(
    xnn, people: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(preflight.QUICK) <= set(ATTACKS)
    monkeypatch.setattr(preflight, "QUICK", ("cross-covariance", "known-plaintext", "fingerprint"))
    out = tmp_path / "pre.json"
    told = xnn(
        *("shard", "preflight", people[0], "--public", people[1], "--scheme", "paper"),
        *("--workers", 1, "--out", out),
    )
    assert re.search(r"[1-9] of \d quick attacks .* break paper", told.result["verdict"])
    assert told.stdout.count("\n") < 40
    assert "known-plaintext, 16 pairs" in {row["attack"] for row in told.result["attacks"]}
    written = json.loads(out.read_text())
    assert written["copies_left_out"] == 0
    assert {row["scheme"] for row in written["rows"]} == {"plain", "paper"}
