"""Folders and manifests become the same face sets, or one clear error."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import ConfigError, FacesError, InsufficientDataError
from xnn.faces.dataset import FaceSet, Sample, load_faces, save_manifest
from xnn.faces.duplicates import crosses_subjects, find_duplicates
from xnn.faces.manifest import ManifestRow, read_rows, write_rows
from xnn.types import SubjectId

NAMES = ["Zoë Müller", "李 小龙", 'O\'Neil, "Jr"', "a b"]


def make(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def test_folder_names_are_subjects_whatever_they_hold(tmp_path: Path) -> None:
    source = make(tmp_path / "set", *(f"{name}/{i}.JPG" for name in NAMES for i in (2, 1)))
    faces = load_faces(source)
    assert faces.subjects == tuple(sorted(NAMES))
    assert [s.path.name for s in faces.samples] == ["1.JPG", "2.JPG"] * 4
    assert set(faces.counts.values()) == {2}
    assert faces.name == "set"


def test_other_files_are_counted_and_hidden_ones_are_nothing(tmp_path: Path) -> None:
    source = make(tmp_path, "a/1.png", "a/notes.txt", "a/.DS_Store", ".cache/2.png", "read.md")
    faces = load_faces(source)
    assert len(faces) == 1
    assert faces.num_skipped == 1


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_gives_back_the_same_set(tmp_path: Path, suffix: str) -> None:
    files = make(tmp_path / "d", *(f"{n}/{i}.png" for n in NAMES for i in (1, 2)))
    samples = tuple(
        Sample(path=s.path, subject=SubjectId(s.subject + "/x\n"), split="val")
        for s in load_faces(files).samples
    )
    save_manifest(FaceSet(name="m", samples=samples), tmp_path / f"m{suffix}")
    assert load_faces(tmp_path / f"m{suffix}") == FaceSet(name="m", samples=samples)
    assert not Path(read_rows(tmp_path / f"m{suffix}")[0].path).is_absolute()


def test_a_manifest_may_stand_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "d/a/1.png", "e/x")
    monkeypatch.chdir(tmp_path)
    save_manifest(load_faces(Path("d")), Path("e/m.csv"))
    assert load_faces(Path("e/m.csv")).samples[0].path == tmp_path / "d/a/1.png"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda t: t.strip())


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT), min_size=1), suffix=st.sampled_from([".csv", ".parquet"])
)
def test_any_text_survives_a_manifest(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    written = [ManifestRow(path=p, subject=s, split=None) for p, s in rows]
    write_rows(path, written)
    assert read_rows(path) == written


def test_numbers_are_subjects_too(tmp_path: Path) -> None:
    make(tmp_path, "1.png")
    pq.write_table(pa.table({"path": ["1.png"], "subject": [17]}), tmp_path / "m.parquet")
    assert load_faces(tmp_path / "m.parquet").subjects == ("17",)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["x/notes.txt"], "no image files .* 1 sub-folders, 1 other files"),
        (["1.png", "a/1.png"], "lie directly in"),
        (["a/b/1.png"], "one level too deep"),
    ],
)
def test_a_folder_that_is_no_face_set(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(FacesError, match=message):
        load_faces(make(tmp_path, *files))


def test_missing_empty_and_other_sources(tmp_path: Path) -> None:
    with pytest.raises(FacesError, match="does not exist"):
        load_faces(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacesError, match="no image files"):
        load_faces(tmp_path / "empty")
    with pytest.raises(FacesError, match="neither a folder nor a manifest"):
        load_faces(make(tmp_path, "a.zip") / "a.zip")
    with pytest.raises(FacesError, match="not valid UTF-8"):
        load_faces(misnamed(tmp_path))
    with pytest.raises(ConfigError, match=r"expected .csv or .parquet"):
        save_manifest(FaceSet(name="x", samples=()), tmp_path / "m.txt")


def misnamed(folder: Path) -> Path:
    (folder / "raw").mkdir()
    (folder / "raw" / "\udcff").mkdir()
    return folder / "raw"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a UTF-8 CSV table"),
        ("path,person\n1.png,a\n", r"lacks \['subject'\]"),
        ("path,subject\n", "no rows"),
        ("path,subject\n1.png,\n", "row 1: subject is empty"),
        ("path,subject\n1.png,a,b\n", "row 1: 3 cells"),
        ("path,subject\n1.png,a\n./1.png,b\n", "lists 1 files more than once"),
        ("path,subject\n2.png,a\n", "1 files that do not exist"),
        ("path,subject,split\n1.png,a,test\n", "split 'test' does not exist"),
        ("path,path,subject\n1.png,1.png,a\n", "names a column twice"),
        ("\udcff", "not a UTF-8 CSV table"),
    ],
)
def test_a_bad_manifest(tmp_path: Path, text: str, message: str) -> None:
    make(tmp_path, "1.png")
    (tmp_path / "m.csv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FacesError, match=message):
        load_faces(tmp_path / "m.csv")


def test_a_bad_parquet_manifest(tmp_path: Path) -> None:
    with pytest.raises(FacesError, match="not a readable Parquet"):
        load_faces(make(tmp_path, "m.parquet") / "m.parquet")
    pq.write_table(pa.table({"path": ["1"], "other": [{"a": 1}]}), tmp_path / "n.parquet")
    with pytest.raises(FacesError, match=r"\['other', 'path'\], lacks \['subject'\]"):
        load_faces(tmp_path / "n.parquet")


def test_only_and_require(tmp_path: Path) -> None:
    faces = load_faces(make(tmp_path, "a/1.png", "a/2.png", "b/1.png"))
    assert faces.only("train") == FaceSet(name=faces.name, samples=faces.samples)
    assert len(faces.only("val")) == 0
    assert faces.require(num_subjects=2) is faces
    with pytest.raises(InsufficientDataError, match="1 subjects with 2 or more images"):
        faces.require(num_subjects=2, images_per_subject=2)


def test_duplicates_are_found_by_content(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/2.png", "b/3.png", "b/4.png")
    for name in ("b/3.png", "a/2.png"):
        (tmp_path / name).write_bytes(b"a/1.png")
    (group,) = find_duplicates(load_faces(tmp_path))
    assert [s.path.name for s in group] == ["1.png", "2.png", "3.png"]
    assert crosses_subjects(group)
    assert not crosses_subjects(group[:2])
