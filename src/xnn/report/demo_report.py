"""The page that a demo run ends with: flow A from photographs to measured leak."""

from collections.abc import Sequence
from pathlib import Path

from xnn.files import write_atomically
from xnn.report.demo_fronts import fronts_section
from xnn.report.demo_sections import (
    attack_section,
    cloud_section,
    faces_section,
    limits_section,
    making_section,
    summary_section,
    training_section,
    utility_section,
)
from xnn.report.page import Section, render_page
from xnn.report.results import DemoResults

NOTICE = (
    "This page contains photographs of faces and names from the owner's folders. It stays with "
    "the owner: do not give it to the cloud and do not publish it without the consent of the "
    "people shown."
)


def write_demo_report(path: Path, results: DemoResults) -> None:
    """Write the report of a demo run as one HTML file that needs no network.

    The same results give the same bytes. Readable by its owner only (mode 0600), since it shows
    faces.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ShapeError: The tokens do not fill the grid.
        StorageError: The file cannot be written.

    Trust: owner. The page shows faces and names.
    """
    write_atomically(path, demo_page(results).encode(), mode=0o600)


def demo_page(results: DemoResults) -> str:
    """Return the HTML of `write_demo_report`."""
    return render_page(
        title="XNN: one run, from photographs to measured leak",
        subtitle=f"{results.dataset} · extractor {results.extractor} · {results.created_at}",
        notice=NOTICE,
        sections=_sections(results),
        footer=f"Made by xnn from one run; data set {results.dataset}, key {results.key_id}.",
    )


def _sections(results: DemoResults) -> Sequence[Section]:
    return [
        summary_section(results),
        faces_section(results),
        cloud_section(results),
        utility_section(results),
        training_section(results),
        attack_section(results),
        fronts_section(results.fronts),
        limits_section(),
        making_section(results),
    ]
