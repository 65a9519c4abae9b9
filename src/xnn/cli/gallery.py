"""`xnn gallery`: what an operator does to the templates of a service."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from xnn.accounts import AuditEvent, AuditLog
from xnn.cli.gallery_options import (
    GalleryAddress,
    MasterKeyFile,
    Tenant,
    opened_gallery,
)
from xnn.cli.output import emit, progress
from xnn.cli.passphrase import PassphraseFile, read_passphrase
from xnn.database import make_master_key, read_master_key
from xnn.errors import ConfigError
from xnn.gallery import StoredGallery
from xnn.gallery.rotation import seal_anew
from xnn.gallery.transfer import export_gallery, import_gallery
from xnn.types import KeyId, SubjectId

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The templates of a service: master key, contents, rotation, retirement, copies.",
)

ExportPath = Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="Export.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("key")
def make_key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="New file.", show_default=False)],
) -> None:
    """Make a master key: 256 bits from the operating system, in a new file of mode 0600.

    Without it the templates of its gallery are lost: keep a copy apart from the gallery's backups.
    """
    emit({"master_id": make_master_key(path).master_id, "file": str(path)}, title="Master key")


@app.command()
def show(
    gallery: GalleryAddress, tenant: Tenant = "default", master_key: MasterKeyFile = None
) -> None:
    """Show how many subjects and templates there are, and that all of them open."""
    with opened_gallery(gallery, master_key, load=True) as opened:
        subjects, templates = opened.count(tenant)
        facts = opened.describe()
    emit({"tenant": tenant, "subjects": subjects, "templates": templates, **facts}, title="Gallery")


@app.command("list")
def list_subjects(
    gallery: GalleryAddress,
    tenant: Tenant = "default",
    after: Annotated[str, typer.Option(help="Begin after this subject.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    master_key: MasterKeyFile = None,
) -> None:
    """List subjects by name, with the number of their templates."""
    with opened_gallery(gallery, master_key) as opened:
        rows = [
            {"subject_id": name, "templates": len(opened.templates(tenant, name))}
            for name in opened.subjects(tenant, after=after, limit=limit)
        ]
    emit({"subjects": rows}, title="Subjects")


@app.command()
def erase(
    subject: Annotated[str, typer.Argument(help="subject_id.", show_default=False)],
    gallery: GalleryAddress,
    tenant: Tenant = "default",
    yes: Yes = False,
    master_key: MasterKeyFile = None,
) -> None:
    """Erase a subject and its templates, out of the file too. Backups keep theirs."""
    _confirm(f"Erase subject {subject!r} and its templates for ever?", yes)
    with opened_gallery(gallery, master_key) as opened:
        number = opened.delete_subject(tenant, SubjectId(subject))
        _note(opened, tenant, "subject.delete", subject=subject, templates=number)
    emit({"subject_id": subject, "templates_erased": number}, title="Erased")


@app.command()
def retire(
    gallery: GalleryAddress,
    bundle: Annotated[
        str | None, typer.Option(help="bundle_id to retire.", show_default=False)
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="key_id of the owner's key to retire.", show_default=False)
    ] = None,
    tenant: Tenant = "default",
    yes: Yes = False,
    master_key: MasterKeyFile = None,
) -> None:
    """Retire a bundle or an owner's key: erase its templates, refuse new ones, for ever.

    Prints the subjects to be enrolled again.
    """
    if bundle is None and key is None:
        raise ConfigError("nothing to retire; name --bundle or --key")
    _confirm("Retire it, erasing its templates, for ever?", yes)
    key_id = None if key is None else KeyId(key)
    with opened_gallery(gallery, master_key) as opened:
        subjects = opened.retire(tenant, bundle_id=bundle, key_id=key_id)
        _note(opened, tenant, "retire", bundle=bundle, key=key, subjects=len(subjects))
    emit({"bundle_id": bundle, "key_id": key, "enrol_again": list(subjects)}, title="Retired")


@app.command()
def rotate(
    gallery: GalleryAddress,
    new_master_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Wrap with this key from now on; made if missing.",
            show_default=False,
        ),
    ] = None,
    templates: Annotated[
        bool, typer.Option("--templates", help="Also seal all templates under a new data key.")
    ] = False,
    master_key: MasterKeyFile = None,
) -> None:
    """Rotate the master key, which is quick, or the data key, which writes every template anew.

    Start the service again with the new master key. After both, older copies of the database open
    only with the old master key: destroy that, and what they hold is gone.
    """
    if new_master_key is None and not templates:
        raise ConfigError("nothing to rotate; name --new-master-key, --templates or both")
    old = read_master_key(master_key)
    result: dict[str, Any] = {"master_id": old.master_id}
    with opened_gallery(gallery, old) as opened:
        vault = opened.vault
        if new_master_key is not None:
            exists = new_master_key.exists()
            new = read_master_key(new_master_key) if exists else make_master_key(new_master_key)
            result |= {"data_keys_wrapped": vault.rewrap(new), "master_id": new.master_id}
        if templates:
            with progress("sealing", total=None) as advance:
                result["templates_sealed"] = seal_anew(opened.database, vault, advance=advance)
        _note(opened, "-", "gallery.rotate", **result)
    emit(result, title="Rotated")


@app.command("export")
def write_export(
    out: ExportPath,
    gallery: GalleryAddress,
    tenant: Tenant = "default",
    passphrase_file: PassphraseFile = None,
    master_key: MasterKeyFile = None,
) -> None:
    """Write a tenant's subjects and templates into one file, sealed under a passphrase."""
    passphrase = read_passphrase(passphrase_file, confirm=True)
    with opened_gallery(gallery, master_key) as opened:
        result = export_gallery(opened, tenant, out, passphrase)
        _note(opened, tenant, "gallery.export", templates=result.templates)
    emit(asdict(result) | {"file": str(out)}, title="Exported")


@app.command("import")
def read_export(
    path: ExportPath,
    gallery: GalleryAddress,
    bundle: Annotated[
        str | None,
        typer.Option(
            help="bundle_id that the templates must have.", show_default="any: it is shown"
        ),
    ] = None,
    tenant: Tenant = "default",
    passphrase_file: PassphraseFile = None,
    master_key: MasterKeyFile = None,
) -> None:
    """Store what an export holds. Stopped half-way, it is finished by running it again.

    The tables are made if there are none. A template erased since the export comes back.
    """
    passphrase = read_passphrase(passphrase_file)
    with opened_gallery(gallery, master_key, create=True) as opened:
        with progress("importing", total=None) as advance:
            result = import_gallery(
                opened, tenant, path, passphrase, bundle_id=bundle, advance=advance
            )
        _note(opened, tenant, "gallery.import", templates=result.stored)
    emit(asdict(result), title="Imported")


def _note(opened: StoredGallery, tenant: str, action: str, **facts: Any) -> None:
    log = AuditLog(opened.database, pseudonym_key=opened.vault.pseudonym_key())
    subject = facts.pop("subject", None)
    name = None if subject is None else log.name_of(tenant, subject)
    log.append(
        AuditEvent(tenant=tenant, actor="operator", action=action, subject=name, facts=facts)
    )


def _confirm(question: str, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise ConfigError("nothing was erased: no terminal to ask; pass --yes")
    if not yes and not typer.confirm(question, err=True):
        raise ConfigError("nothing was erased; pass --yes to do it without being asked")
