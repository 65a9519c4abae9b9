"""`xnn faces`: align photographs, divide a face set, look for faults in one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from xnn.cli.output import emit, progress, warn
from xnn.faces.dataset import SPLITS, FaceSet, load_faces, save_manifest
from xnn.faces.duplicates import crosses_subjects, find_duplicates
from xnn.faces.splits import SplitSettings, split_faces

app = typer.Typer(
    name="faces",
    add_completion=False,
    help="Photographs in: align, divide, check.",
    no_args_is_help=True,
)


@app.command("align")
def align_command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of photographs.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder of the crops.")],
    workers: Annotated[int | None, typer.Option(help="Processes (all cores, at most 8).")] = None,
    max_pixels: Annotated[int, typer.Option(help="Larger photographs are left out.")] = 50_000_000,
    detection_threshold: Annotated[float, typer.Option(help="Least score of a face, 0..1.")] = 0.9,
    min_face_px: Annotated[int, typer.Option(help="Side of the smallest face, in pixels.")] = 20,
) -> None:
    """Cut 112x112 aligned crops out of photographs, and report every file without a face.

    Run it again to go on after an interruption. The report is DST/align_report.json and .csv.
    """
    # Imported here: torch takes seconds, and the other commands do without.
    from xnn.faces.batch import AlignSettings, align_folder
    from xnn.faces.detection.detector import DetectionSettings
    from xnn.faces.places import list_photographs
    from xnn.faces.report import REPORT_NAME

    detection = DetectionSettings(threshold=detection_threshold, min_face_px=min_face_px)
    chosen: dict[str, Any] = {} if workers is None else {"workers": workers}
    settings = AlignSettings(max_pixels=max_pixels, detection=detection, **chosen)
    total = len(list_photographs(source))
    with progress("aligning", total=total) as advance:
        report = align_folder(source, destination, settings, progress=advance)
    without = [row for row in report.rows if row.crop is None]
    if without:
        warn(f"{len(without)} of {total} files gave no crop; see {REPORT_NAME}")
    emit(
        {
            "files": total,
            "crops": total - len(without),
            "found_share": round(report.found_share, 4),
            **report.counts,
            "report": str(destination / REPORT_NAME),
            "without_crop": [
                {"photograph": row.photograph, "status": row.status, "reason": row.reason}
                for row in without
            ],
        },
        title="Aligned faces",
    )


@app.command("split")
def split_command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Crops: folder or manifest.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Manifest, .csv or .parquet.")],
    seed: Annotated[int, typer.Option(help="Chooses subjects and images.")] = 0,
    test_subjects: Annotated[
        float, typer.Option(help="Subjects tested by person: a fraction below 1, or a number.")
    ] = 0.25,
    val_subjects: Annotated[
        float, typer.Option(help="Subjects to validate on: a fraction below 1, or a number.")
    ] = 0.15,
    images_per_test_subject: Annotated[
        int | None, typer.Option(help="Images kept of each (the median, at most 20).")
    ] = None,
) -> None:
    """Divide subjects and images into train, val, test_by_person and test_by_image."""
    settings = SplitSettings(
        seed=seed,
        test_subjects=test_subjects,
        val_subjects=val_subjects,
        images_per_test_subject=images_per_test_subject,
    )
    faces = load_faces(data)
    divided = split_faces(faces, settings)
    save_manifest(divided, out)
    emit(
        {
            "manifest": str(out),
            "dropped_images": len(faces) - len(divided),
            "splits": [_size(divided.only(split)) | {"split": split} for split in SPLITS],
        },
        title="Divided face set",
    )


@app.command("check")
def check_command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder or manifest.")],
) -> None:
    """Count subjects and images, and warn of what would spoil training or a test."""
    faces = load_faces(data)
    counts = sorted(faces.counts.values())
    groups = find_duplicates(faces)
    crossing = [group for group in groups if crosses_subjects(group)]
    warnings = []
    if len(counts) < 2:
        warnings.append("one subject only: nothing can be recognised; add another")
    if counts[-1] == 1:
        warnings.append("one image per subject: nothing can be tested; add images")
    if crossing:
        warnings.append(f"{len(crossing)} photographs stand under more than one subject")
    if len(groups) > len(crossing):
        warnings.append(f"{len(groups) - len(crossing)} photographs stand twice under one subject")
    if faces.num_skipped:
        warnings.append(f"{faces.num_skipped} files are not images and are passed over")
    for warning in warnings:
        warn(warning)
    emit(
        {
            **_size(faces),
            "fewest_images_per_subject": counts[0],
            "median_images_per_subject": counts[len(counts) // 2],
            "most_images_per_subject": counts[-1],
            "subjects_with_one_image": counts.count(1),
            "skipped_files": faces.num_skipped,
            "duplicates_across_subjects": [
                {
                    "subjects": sorted({s.subject for s in group}),
                    "files": [str(s.path) for s in group],
                }
                for group in crossing
            ],
            "duplicates_within_a_subject": len(groups) - len(crossing),
            "warnings": warnings,
        },
        title="Face set",
    )


def _size(faces: FaceSet) -> dict[str, Any]:
    return {"subjects": len(faces.subjects), "images": len(faces)}
