"""What somebody does at the console, in the order of a first visit."""

from pathlib import Path

from browser import Watched
from PIL import Image


def photograph(orl_photos: Path, folder: Path, subject: int, shot: int) -> Path:
    """An ORL photograph as a PNG, as people have them."""
    path = folder / f"s{subject}-{shot}.png"
    with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as image:
        image.save(path)
    return path


def sign_in(watched: Watched, key: str) -> None:
    watched.page.fill("input[type=password]", key)
    watched.page.click("button[type=submit]")
    watched.page.wait_for_selector("nav a[aria-current]")


def go_to(watched: Watched, title: str) -> None:
    watched.page.click(f"nav a:text-is('{title}')")
    watched.page.wait_for_selector(f"main h1:text-is('{title}')")


def show_pictures(watched: Watched, *paths: Path) -> None:
    """Choose pictures and wait until all are read."""
    watched.page.set_input_files("#pictures", paths)
    watched.page.wait_for_function(
        "n => document.querySelectorAll('.captures > article').length === n", arg=len(paths)
    )


def enrol(watched: Watched, subject: str, *paths: Path) -> None:
    go_to(watched, "Enrol")
    watched.page.get_by_label("Subject").fill(subject)
    show_pictures(watched, *paths)
    watched.page.click("button[type=submit]")
    watched.page.wait_for_selector(f"[role=status]:has-text('{subject} is enrolled')")


def search(watched: Watched, path: Path) -> list[tuple[str, float]]:
    """Return who was found, with the scores that are shown."""
    go_to(watched, "Recognise")
    show_pictures(watched, path)
    watched.page.click("button[type=submit]")
    watched.page.wait_for_selector(".answer")
    rows = watched.page.locator(".candidates li")
    return [
        (row.locator("a").inner_text(), float(row.locator(".score").inner_text()))
        for row in rows.all()
    ]
