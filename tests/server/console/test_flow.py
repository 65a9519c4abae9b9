"""The whole way against a real server: log in, enrol, find, erase; and what crossed the wire."""

import io
from pathlib import Path

import numpy as np
import pytest
from browser import Watched
from people_at_the_page import enrol, go_to, photograph, search, show_pictures, sign_in
from PIL import Image

from served import Running
from xnn.device.bundle import load_detector
from xnn.faces.align import align
from xnn.faces.detection.detector import most_prominent
from xnn.faces.photograph import read_photograph

PEOPLE = range(1, 7)
SIGNATURES = (b"\x89PNG\r\n", b"GIF8", b"WEBP", b"/9j/", b"iVBOR", b"data:image")
JPEG = b"\xff\xd8\xff"


def pictures_in(body: bytes, crops: list[np.ndarray]) -> list[str]:
    """Say what of a picture is in a body: a file's signature, or a row of an aligned crop."""
    found = [str(signature) for signature in SIGNATURES if signature in body]
    # Three bytes stand in noise by chance as well: what begins with them must also open.
    starts = (at for at in range(len(body)) if body.startswith(JPEG, at))
    found += [f"JPEG at {at}" for at in starts if opens(body[at:])]
    for crop in crops:
        rows = [crop[y].tobytes() for y in range(10, 100)]
        rows += [crop[y, :, 0].tobytes() for y in range(10, 100)]  # one colour, or grey
        found += [f"row of {len(row)} bytes" for row in rows if row in body]
    return found


def opens(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def photographs(
    orl_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[int, int], Path]:
    folder = tmp_path_factory.mktemp("photographs")
    return {(s, k): photograph(orl_photos, folder, s, k) for s in PEOPLE for k in (1, 2, 4)}


@pytest.fixture(scope="module")
def aligned(photographs: dict[tuple[int, int], Path], bundles: Path) -> list[np.ndarray]:
    detector, made = load_detector(bundles / "device"), []
    for path in photographs.values():
        rgb = read_photograph(path).rgb
        faces = detector.find(rgb)
        chosen = most_prominent(faces, height=rgb.shape[0], width=rgb.shape[1])
        made.append(align(rgb, faces.landmarks[chosen]))
    return made


@pytest.fixture
def console(shared: Running) -> str:
    with shared.caller("a") as caller:
        for subject in caller.http.get("/v1/subjects?limit=1000").json()["subjects"]:
            caller.http.delete(f"/v1/subjects/{subject}")
    return f"{shared.url}/console/"


@pytest.fixture
def inside(open_page, console: str, shared: Running) -> Watched:
    watched = open_page(console)
    sign_in(watched, shared.site.keys["a"])
    return watched


def test_the_detector_of_pictures_finds_pictures(aligned: list[np.ndarray]) -> None:
    """Positive control of the test below."""
    for form in ("JPEG", "PNG"):
        file = io.BytesIO()
        Image.fromarray(aligned[0]).save(file, form)
        assert pictures_in(b"head" + file.getvalue(), [])
    assert pictures_in(b"head" + aligned[3].tobytes(), aligned)
    assert pictures_in(aligned[3][..., 0].tobytes(), aligned)
    assert not pictures_in(np.random.default_rng(0).bytes(50_000), aligned)


def test_somebody_is_enrolled_and_found_and_no_face_is_sent(
    inside: Watched,
    shared: Running,
    photographs: dict[tuple[int, int], Path],
    aligned: list[np.ndarray],
) -> None:
    for person in PEOPLE:
        enrol(inside, f"person-{person}", photographs[person, 1], photographs[person, 2])
    hits = 0
    for person in PEOPLE:
        found = search(inside, photographs[person, 4])
        hits += [name for name, _ in found][:1] == [f"person-{person}"]
    assert hits >= len(PEOPLE) - 1
    sent = [seen for seen in inside.requests if seen.body]
    assert len(sent) == 2 * len(PEOPLE)
    assert {seen.method for seen in sent} == {"POST"}
    assert all(seen.body.startswith(b"XNNW") for seen in sent)
    assert [pictures_in(seen.body, aligned) for seen in sent] == [[]] * len(sent)
    assert all(seen.url.startswith(shared.url) for seen in inside.requests)
    # What the page says that it sent is what it sent.
    go_to(inside, "Service")
    said = inside.page.locator("table.log td:nth-child(3)").all_inner_texts()
    assert sorted(int(text.split()[0].replace(",", "")) for text in said if "bytes" in text) == (
        sorted(len(seen.body) for seen in sent)
    )


def test_nothing_is_sent_before_the_button(
    inside: Watched, photographs: dict[tuple[int, int], Path]
) -> None:
    show_pictures(inside, photographs[1, 1])
    card = inside.page.locator(".border-card")
    assert "Nothing has been sent yet" in card.inner_text()
    assert [seen for seen in inside.requests if seen.body] == []
    stated = int(card.locator(".facts b").nth(1).inner_text().split()[0].replace(",", ""))
    inside.page.click("button[type=submit]")
    inside.page.wait_for_selector(".answer")
    assert "gallery is empty" in inside.page.locator(".answer").inner_text()
    (sent,) = [seen for seen in inside.requests if seen.body]
    assert len(sent.body) == stated
    for step in ("read the file", "find the face", "align it", "features and noise", "answers"):
        assert step in card.inner_text()


def test_what_was_enrolled_is_not_enrolled_again_as_somebody_else(
    inside: Watched, photographs: dict[tuple[int, int], Path]
) -> None:
    enrol(inside, "first", photographs[1, 1])
    inside.page.get_by_label("Subject").fill("second")
    inside.page.click("button[type=submit]")
    inside.page.wait_for_selector(".alert:has-text('Choose pictures')")
    show_pictures(inside, photographs[2, 1])
    inside.page.click("button[type=submit]")
    inside.page.wait_for_selector("[role=status]:has-text('second is enrolled with 1 more')")


def test_verify_and_erase(
    inside: Watched, shared: Running, photographs: dict[tuple[int, int], Path]
) -> None:
    page = inside.page
    enrol(inside, "person-1", photographs[1, 1], photographs[1, 2])
    go_to(inside, "Recognise")
    page.click("label:text-is('Is it this subject?')")
    page.get_by_label("Subject", exact=True).fill("person-1")
    show_pictures(inside, photographs[1, 1])
    page.click("button[type=submit]")
    page.wait_for_selector(".answer.yes:has-text('person-1')")
    go_to(inside, "Subjects")
    page.click(".subjects button:text-is('Templates')")
    page.wait_for_selector("caption:has-text('2 templates')")
    page.locator("button:text-is('Erase')").first.click()
    page.wait_for_selector("[role=status]:has-text('erased')")
    with shared.caller("a") as caller:
        assert caller.http.get("/v1/subjects/person-1").json()["templates"] == 1
        page.click("button:text-is('Delete')")
        page.click("dialog button:text-is('Keep')")
        assert caller.http.get("/v1/subjects/person-1").status_code == 200
        page.click(".subjects button:text-is('Delete')")
        page.click("dialog button:text-is('Delete')")
        page.wait_for_selector("[role=status]:has-text('person-1 is deleted')")
        assert caller.http.get("/v1/subjects/person-1").status_code == 404


def test_the_metrics_are_live(inside: Watched) -> None:
    go_to(inside, "Service")
    inside.page.wait_for_selector(".tile:has-text('Answered')")
    read = """() => {
      const tiles = [...document.querySelectorAll('.tile')];
      const answered = tiles.find((tile) => tile.innerText.startsWith('Answered'));
      return Number(answered.querySelector('b').innerText.replaceAll(',', ''));
    }"""
    first = inside.run(read)
    inside.page.wait_for_function(f"n => ({read})() > n", arg=first)
