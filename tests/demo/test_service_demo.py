"""The service demo: people are found through the wire, and each party has its own half only."""

import json

import pytest

from xnn.demo.service import Place, run_service_demo


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    out = tmp_path_factory.mktemp("service")
    run_service_demo(out, port=0)
    return Place(root=out)


def test_enrolled_people_are_found_and_strangers_mostly_not(place: Place) -> None:
    summary = json.loads((place.root / "summary.json").read_text())
    assert summary["enrolled_subjects"] == 9
    assert summary["searches"] >= 45
    assert summary["found"] >= 0.9 * summary["searches"]
    assert summary["strangers_matched"] <= 0.5 * summary["searches_of_strangers"]


def test_the_server_has_neither_pictures_nor_the_front(place: Place) -> None:
    names = {path.name for path in place.server.rglob("*") if path.is_file()}
    assert {"server.json", "student.safetensors", "gallery.db", "master.key"} <= names
    assert not {n for n in names if n.endswith((".onnx", ".png", ".pgm"))}
    key = place.api_key.read_text().strip()
    for path in place.server.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path.name


def test_run_again_it_serves_what_is_there(place: Place) -> None:
    before = (place.server / "bundle" / "student.safetensors").read_bytes()
    seen = []
    again = run_service_demo(place.root, port=0, serve=seen.append)
    assert seen == [again]
    assert again["enrolled_subjects"] == 9
    assert (place.server / "bundle" / "student.safetensors").read_bytes() == before


def test_photographs_to_try_were_not_enrolled(place: Place) -> None:
    enrolled = {path.parent.name for path in (place.to_try / "enrolled").rglob("*.png")}
    strangers = {path.parent.name for path in (place.to_try / "strangers").rglob("*.png")}
    assert len(enrolled) == 9
    assert len(strangers) == 3
    assert enrolled.isdisjoint(strangers)
