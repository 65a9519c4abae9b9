"""Pairs files: the lines of LFW's format, and what is wrong with one."""

from pathlib import Path

import pytest

from xnn.errors import FacesError, StorageError
from xnn.faces.dataset import FaceSet, Sample
from xnn.faces.pairs import load_pairs
from xnn.types import SubjectId

NAMES = ("Ada_L", "Bo B", "Zoë")
FACES = FaceSet(
    name="faces",
    samples=tuple(
        Sample(path=Path(f"{name}/{name}_{shot:04d}.jpg"), subject=SubjectId(name))
        for name in NAMES
        for shot in (1, 2, 11)
    ),
)


def pairs_of(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return [(pair.first.path.name, pair.second.path.name) for pair in load_pairs(path, FACES)]


def test_mated_and_non_mated_lines_in_their_order(tmp_path: Path) -> None:
    text = "10\t300\nAda_L\t1\t11\nBo B\t2\tZoë\t1\n\nZoë\t2\t1\n"
    assert pairs_of(tmp_path, text) == [
        ("Ada_L_0001.jpg", "Ada_L_0011.jpg"),
        ("Bo B_0002.jpg", "Zoë_0001.jpg"),
        ("Zoë_0002.jpg", "Zoë_0001.jpg"),
    ]


def test_line_ends_of_other_systems(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_bytes(b"Ada_L\t1\t2\r\nAda_L\t1\tBo B\t1\r\n")
    pairs = load_pairs(tmp_path / "pairs.txt", FACES)
    assert [pair.first.subject == pair.second.subject for pair in pairs] == [True, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no pairs"),
        ("10\t300\n", "holds no pairs"),
        ("Ada_L 1 2\n", "holds no pairs"),
        ("Ada_L\t1\t3\n", "line 1: no photograph '3'"),
        ("Ada_L\t1\t2\nEve\t1\tAda_L\t1\n", "line 2: no photograph '1'"),
        ("Ada_L\tone\t2\n", "line 1: no photograph 'one'"),
        ("Ada_L\t1\t\n", "line 1: no photograph ''"),
        ("Ada_L\t²\t1\n", "line 1: no photograph '²'"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FacesError, match=says) as caught:
        pairs_of(tmp_path, text)
    assert "Ada_L" not in str(caught.value), "errors name nobody"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"'none\.txt'"):
        load_pairs(tmp_path / "none.txt", FACES)


def test_names_without_a_number_take_no_part(tmp_path: Path) -> None:
    faces = FaceSet(
        name="faces",
        samples=(
            Sample(path=Path("a/7.jpg"), subject=SubjectId("a")),
            Sample(path=Path("a/portrait.jpg"), subject=SubjectId("a")),
            Sample(path=Path("a/8.jpg"), subject=SubjectId("a")),
        ),
    )
    (tmp_path / "p").write_text("a\t7\t8\n")
    assert load_pairs(tmp_path / "p", faces)[0].second.path.name == "8.jpg"
    (tmp_path / "p").write_text("a\t7\tportrait\n")
    with pytest.raises(FacesError, match="'portrait'"):
        load_pairs(tmp_path / "p", faces)
