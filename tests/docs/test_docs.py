"""The documentation is held to the program: links, examples, commands, tables and words."""

import contextlib
import importlib.util
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

import xnn.errors
from xnn.cli.main import app
from xnn.cloud.bundle import BundleCard, save_bundle
from xnn.extractors.catalog import EXTRACTORS
from xnn.faces.batch import AlignSettings, align_folder
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.redteam.policy import DEFAULT_POLICY, load_policy
from xnn.schemes import SCHEMES, KeyStream
from xnn.schemes.matrices import draw_matrix
from xnn.shards import Manifest, ShardWriter
from xnn.shards.arrow import encode_shard

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
VECTORS = json.loads((ROOT / "tests" / "vectors" / "keystream_v1.json").read_text())
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "src/**/*.md", "benchmarks/**/*.md")
    for page in ROOT.glob(pattern)
)


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def run_block(source: str) -> tuple[dict[str, Any], str]:
    """Run an example; return its names and what it printed."""
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "example", "exec"), names)  # noqa: S102  our own page
    return names, printed.getvalue()


# Links


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page_id(page)} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page_id(page)} links to {target}"


def test_the_map_names_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    site = (ROOT / "mkdocs.yml").read_text()
    for page in ROOT.glob("docs/**/*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert f": {name}\n" in site
        assert name == "index.md" or f"({name})" in index


def test_every_package_says_who_runs_it() -> None:
    packages = sorted(p.parent for p in (ROOT / "src" / "xnn").glob("*/__init__.py"))
    assert packages
    for package in packages:
        text = (package / "README.md").read_text()
        assert "runs it" in text, package.name


# Examples


@pytest.fixture
def crops_here(orl_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `crops`: two photographs of each of three ORL subjects, aligned."""
    for subject in ("s1", "s2", "s3"):
        (tmp_path / "photos" / subject).mkdir(parents=True)
        for number in (1, 2):
            name = f"{subject}/{number}.pgm"
            shutil.copyfile(orl_photos / name, tmp_path / "photos" / name)
    align_folder(tmp_path / "photos", tmp_path / "crops", AlignSettings(workers=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_the_readme_prints_what_it_says(crops_here: Path) -> None:
    (example,) = blocks(ROOT / "README.md", "python")
    names, printed = run_block(example)
    expected = next(
        text for text in blocks(ROOT / "README.md", "text") if text.startswith("(6, 16, 256)")
    )
    assert printed == expected
    assert not np.allclose(names["records"].numpy(), names["tokens"].numpy(), atol=1e-2)


def test_the_key_recipe_gives_the_published_vectors() -> None:
    (example,) = blocks(REFERENCE / "keys.md", "python")
    stream = run_block(example)[0]["Stream"]
    seed = bytes(range(32))
    assert stream(seed).permutation(16) == VECTORS["permutation_16"]
    assert [x.hex() for x in stream(seed).normals(6)] == VECTORS["normals_6_hex"]
    for name in ("gaussian", "haar"):
        matrix = getattr(stream(seed), name)(4)
        assert [x.hex() for row in matrix for x in row] == VECTORS[f"{name}_4_hex"]


@pytest.mark.parametrize("number", range(3))
def test_the_key_recipe_agrees_with_the_program(number: int) -> None:
    (example,) = blocks(REFERENCE / "keys.md", "python")
    stream = run_block(example)[0]["Stream"]
    seed = bytes([number]) * 32
    ours, theirs = stream(seed), KeyStream(seed)
    assert ours.permutation(29) == theirs.permutation(29).tolist()
    assert np.array_equal(ours.gaussian(11), draw_matrix(theirs, 11, "gaussian"))
    assert np.array_equal(stream(seed).haar(9), draw_matrix(KeyStream(seed), 9, "haar"))


def test_the_shards_page_reads_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tokens = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    writer = ShardWriter(tmp_path / "shards", plan_digest="0")
    content = encode_shard(tokens, np.array([1, 0, 1]), "float32")
    writer.write("train-00000.arrow", content, split="train", records=3)
    manifest = Manifest(
        scheme="plain",
        scheme_version=1,
        key_id="0" * 16,
        extractor={},
        extractor_digest="0" * 64,
        n=4,
        d=5,
        record_type="float32",
        num_classes={"train": 2, "val": 0},
        shards=writer.entries(),
    )
    writer.finish(manifest)
    (example,) = blocks(REFERENCE / "shards.md", "python")
    names, _ = run_block(example)
    assert np.array_equal(names["tokens"], tokens)
    assert names["labels"].tolist() == [1, 0, 1]
    page = (REFERENCE / "shards.md").read_text()
    assert all(f"`{field}`" in page for field in names["manifest"])


def test_the_bundle_page_reads_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = TailConfig(n=4, d=8, tail_depth=1, heads=2)
    card = BundleCard(
        tail=config,
        scheme="paper",
        scheme_version=1,
        key_id="ab" * 8,
        extractor={},
        extractor_digest="0" * 64,
        n=4,
        d=8,
        training={},
    )
    save_bundle(tmp_path / "run" / "bundle", Tail(config), card)
    (example,) = blocks(REFERENCE / "bundle.md", "python")
    assert run_block(example)[1] == f"{'ab' * 8} 8\n"
    page = (REFERENCE / "bundle.md").read_text()
    assert all(f"`{field}`" in page for field in card.to_dict())


# Commands


def command_and_switches(words: list[str]) -> tuple[list[str], set[str]]:
    """Walk the words of a command line; return the path found and the switches it takes."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("xnn", [], resilient_parsing=True)
    switches = {switch for param in root.params for switch in param.opts} | {"--help"}
    if not words or words[0].startswith("-"):
        return [], switches
    command = root.get_command(context, words[0])
    assert command is not None, f"there is no `xnn {words[0]}`"
    path = words[:1]
    if hasattr(command, "commands") and words[1:]:
        assert words[1] in command.commands, f"there is no `xnn {words[0]} {words[1]}`"
        command = command.commands[words[1]]
        path = words[:2]
    found = {s for param in command.params for s in [*param.opts, *param.secondary_opts]}
    return path, found | switches


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_shown_exists(page: Path) -> None:
    text = page.read_text()
    lines = re.findall(r"^\$ (?:.venv/bin/)?xnn (.*)$", text, re.MULTILINE)
    lines += re.findall(r"`xnn ([^`]+)`", " ".join(text.split()))
    for line in lines:
        words = shlex.split(line, comments=True)
        _, switches = command_and_switches(words)
        for word in words:
            assert not word.startswith("--") or word in switches, f"`xnn {line}` has no {word}"


@pytest.mark.parametrize("script", ["docs/generate_cli.py", "docs/generate_attacks.py"])
def test_written_pages_are_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr or f"run python {script}"


def test_the_tables_of_the_documents_are_those_of_the_results() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "table.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_policy_of_the_guide_is_the_default_one(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "docs" / "guides" / "audit.md", "toml")
    (tmp_path / "default.toml").write_text(example)
    assert load_policy(tmp_path / "default.toml") == DEFAULT_POLICY


def test_a_stale_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate_cli.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    stale = tmp_path / "cli.md"
    stale.write_text(generate.page().replace("xnn shard build", "xnn shard make"))
    monkeypatch.setattr(generate, "PAGE", stale)
    monkeypatch.setattr(sys, "argv", ["generate_cli.py", "--check"])
    with pytest.raises(SystemExit, match="not up to date"):
        generate.main()


# Tables


def first_column(page: Path) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", page.read_text(), re.MULTILINE))


def test_every_error_has_a_row_with_its_parents() -> None:
    errors = {
        name: kind
        for name, kind in vars(xnn.errors).items()
        if isinstance(kind, type) and issubclass(kind, xnn.errors.XnnError)
    }
    page = REFERENCE / "errors.md"
    assert first_column(page) == set(errors)
    for name, parents in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page.read_text(), re.MULTILINE):
        said = set(re.findall(r"`(\w+)`", parents))
        assert said == {base.__name__ for base in errors[name].__bases__} - {"XnnError"}


def test_every_scheme_has_a_row_with_its_version() -> None:
    page = REFERENCE / "schemes.md"
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \|", page.read_text(), re.MULTILINE)
    assert dict(rows) == {name: str(s.card.version) for name, s in SCHEMES.items()}


def test_every_extractor_has_a_row() -> None:
    assert set(EXTRACTORS) <= first_column(REFERENCE / "extractors.md")


# The front page and its words


def test_the_first_screen_is_short_and_can_be_filled() -> None:
    before, begin, rest = (ROOT / "README.md").read_text().partition("<!-- results:begin -->")
    assert begin
    assert "<!-- results:end -->" in rest
    assert before.count("\n") < 45
    for promise in ("does not protect", "THREAT_MODEL.md", "make demo", "make test"):
        assert promise in before


FORBIDDEN = re.compile(
    r"\b(secure[ds]?|securely|anonym\w+|unbreakable|untraceable|military|un-?hackable)\b"
    r"|\bencrypt\w*\b[^.|\n]{0,40}\b(features?|records?|tokens?|faces?)\b"
    r"|\b(features?|records?|tokens?|faces?)\b[^.|\n]{0,40}\bencrypt\w*",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_page_promises_too_much(page: Path) -> None:
    text = page.read_text()
    if page.name == "THREAT_MODEL.md":
        text, count = re.subn(r"<!-- words:begin.*?words:end -->", "", text, flags=re.DOTALL)
        assert count == 1
    found = FORBIDDEN.search(text)
    assert found is None, f"{page_id(page)} says {found and found[0]!r}"


@pytest.mark.parametrize(
    "text", ["a secure upload", "anonymised faces", "we encrypt all features", "records, encrypted"]
)
def test_forbidden_words_are_found(text: str) -> None:
    assert FORBIDDEN.search(text)
