"""`xnn device`: enrol, verify and search from photographs; only protected records leave."""

import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from xnn.cli.output import emit, progress, warn
from xnn.errors import ConfigError
from xnn.wire.message import WireDtype

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help=(
        "A device: photographs in, protected records out to a service (`xnn serve`).\n\n"
        "The API key comes from XNN_API_KEY or a file that only you can read."
    ),
)
NO_MATCH = 3

Subject = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="Opaque name: A-Z a-z 0-9 . _ -, at most 128.")
]
Photograph = Annotated[Path, typer.Argument(metavar="PHOTO", help="Photograph of one face.")]
Bundle = Annotated[Path, typer.Option(help="Device bundle of `noise export`.")]
Url = Annotated[
    str | None, typer.Option(help="Address of the service.", envvar="XNN_URL", show_envvar=True)
]
KeyPath = Annotated[
    Path | None,
    typer.Option("--api-key-file", help="File of mode 0600.", show_default="$XNN_API_KEY"),
]
Small = Annotated[bool, typer.Option("--int8", help="Use the bundle's small variant.")]
Dtype = Annotated[
    WireDtype | None,
    typer.Option(help="How numbers travel.", show_default="the shortest that serves"),
]
Ca = Annotated[
    Path | None, typer.Option(help="CA of the service, PEM.", show_default="the system's")
]
Certificate = Annotated[
    Path | None, typer.Option(help="The device's own, PEM (mutual TLS).", show_default="none")
]
PrivateKey = Annotated[
    Path | None, typer.Option(help="Of --certificate, PEM.", show_default="in the same file")
]
PlainHttp = Annotated[
    bool, typer.Option("--allow-plain-http", help="Let key and records cross a network bare.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would leave; send nothing.")]
Show = Annotated[
    Path | None, typer.Option(help="PNG to write: a picture of what leaves.", show_default="none")
]
Far = Annotated[
    float | None,
    typer.Option(help="False accept rate, a fraction.", show_default="the service's"),
]


@app.command()
def enrol(
    subject: Subject,
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO", help="Photographs of this subject.")
    ],
    bundle: Bundle,
    url: Url = None,
    api_key_file: KeyPath = None,
    create: Annotated[bool, typer.Option(help="Make the subject if it is missing.")] = True,
    request_id: Annotated[
        str | None,
        typer.Option(help="32 hex digits; the same again enrols once.", show_default="a new one"),
    ] = None,
    int8: Small = False,
    dtype: Dtype = None,
    ca: Ca = None,
    certificate: Certificate = None,
    private_key: PrivateKey = None,
    allow_plain_http: PlainHttp = False,
    dry_run: DryRun = False,
    show: Show = None,
) -> None:
    """Store a template of each photograph, all or none."""
    made = _Prepared(bundle, photos, int8=int8, dtype=dtype, show=show)
    if dry_run:
        made.emit_dry_run()
        return
    tls = {"ca": ca, "certificate": certificate, "private_key": private_key}
    with made.client(url, api_key_file, tls, allow_plain_http=allow_plain_http) as client:
        facts = made.facts(client)
        templates = client.enrol(subject, made.prepared, create=create, request_id=request_id)
    rows = [
        row | {"template_id": template.template_id}
        for row, template in zip(made.rows, templates, strict=True)
    ]
    emit({"subject_id": subject, **facts, "templates": rows}, title="Enrolled")


@app.command()
def verify(
    subject: Subject,
    photo: Photograph,
    bundle: Bundle,
    url: Url = None,
    api_key_file: KeyPath = None,
    far: Far = None,
    int8: Small = False,
    dtype: Dtype = None,
    ca: Ca = None,
    certificate: Certificate = None,
    private_key: PrivateKey = None,
    allow_plain_http: PlainHttp = False,
    dry_run: DryRun = False,
    show: Show = None,
) -> None:
    """Say whether a photograph shows a subject: exit status 0 if so, 3 if not."""
    made = _Prepared(bundle, [photo], int8=int8, dtype=dtype, show=show)
    if dry_run:
        made.emit_dry_run()
        return
    tls = {"ca": ca, "certificate": certificate, "private_key": private_key}
    with made.client(url, api_key_file, tls, allow_plain_http=allow_plain_http) as client:
        facts = made.facts(client)
        verdict = client.verify(subject, made.prepared, far=far)
    emit(
        {
            "subject_id": subject,
            "match": verdict.match,
            "score": verdict.score,
            "threshold": verdict.threshold,
            "far": verdict.far,
            **facts,
        },
        title="Verified",
    )
    if not verdict.match:
        raise typer.Exit(NO_MATCH)


@app.command()
def search(
    photo: Photograph,
    bundle: Bundle,
    url: Url = None,
    api_key_file: KeyPath = None,
    top_k: Annotated[int, typer.Option(help="At most so many candidates.", min=1)] = 5,
    far: Far = None,
    int8: Small = False,
    dtype: Dtype = None,
    ca: Ca = None,
    certificate: Certificate = None,
    private_key: PrivateKey = None,
    allow_plain_http: PlainHttp = False,
    dry_run: DryRun = False,
    show: Show = None,
) -> None:
    """Find who is on a photograph: those above the threshold, best first; status 3 if nobody."""
    made = _Prepared(bundle, [photo], int8=int8, dtype=dtype, show=show)
    if dry_run:
        made.emit_dry_run()
        return
    tls = {"ca": ca, "certificate": certificate, "private_key": private_key}
    with made.client(url, api_key_file, tls, allow_plain_http=allow_plain_http) as client:
        facts = made.facts(client)
        found = client.search(made.prepared, top_k=top_k, far=far)
    candidates = [
        {"subject_id": c.subject_id, "score": c.score, "template_id": c.template_id}
        for c in found.candidates
    ]
    emit(
        {
            "candidates": candidates,
            "threshold": found.threshold,
            "far": found.far,
            "gallery_size": found.gallery_size,
            **facts,
        },
        title="Found" if candidates else "Found nobody",
    )
    if not candidates:
        raise typer.Exit(NO_MATCH)


class _Prepared:
    """The photographs of one call, worked on before anybody is asked."""

    def __init__(
        self, bundle: Path, photos: list[Path], *, int8: bool, dtype: str | None, show: Path | None
    ) -> None:
        # Imported here, so that the help needs none of it.
        from xnn.device.pipeline import open_pipeline
        from xnn.device.record_picture import png_of
        from xnn.files import write_atomically

        self._pipeline, self._dtype, self._show = open_pipeline(bundle, int8=int8), dtype, show
        with progress("finding and protecting", total=len(photos)) as advance:
            self.prepared = self._pipeline.prepare(photos, progress=advance)
        self.rows: list[dict[str, Any]] = [
            {
                "photograph": photo.name,
                "face_px": round(capture.face_px),
                "faces": capture.num_faces,
            }
            for photo, capture in zip(photos, self.prepared.captures, strict=True)
        ]
        for row in self.rows:
            if row["faces"] > 1:
                warn(f"{row['photograph']!r} shows {row['faces']} faces: the largest is taken")
        if show is not None:
            write_atomically(show, png_of(self.prepared.records))

    def client(
        self,
        url: str | None,
        key_path: Path | None,
        tls: dict[str, Path | None],
        *,
        allow_plain_http: bool,
    ) -> Any:
        """Return a client of the service."""
        from xnn.device.api_key import read_api_key
        from xnn.device.client import Client
        from xnn.device.transport import TlsFiles

        if url is None:
            raise ConfigError("--url is missing: the address of the service, or --dry-run")
        return Client(
            url,
            read_api_key(key_path),
            self._pipeline,
            tls=TlsFiles(**tls),
            dtype=self._dtype,
            allow_plain_http=allow_plain_http,
        )

    def facts(self, client: Any) -> dict[str, Any]:
        """Return what leaves for this service, which is asked what it reads first."""
        return self._describe(list(client.service().dtypes))

    def emit_dry_run(self) -> None:
        """Say what would leave, by the bundle alone."""
        described = self._describe(list(self._pipeline.bundle.card.dtypes))
        emit({"sent": False, **described, "photographs": self.rows}, title="Nothing was sent")

    def _describe(self, dtypes: list[str]) -> dict[str, Any]:
        from xnn.device.operations import choose_dtype, message_of
        from xnn.wire.authenticity import MAC_KEY_BYTES
        from xnn.wire.codec import encode

        card = self._pipeline.bundle.card
        dtype = choose_dtype([d for d in card.dtypes if d in dtypes], self._dtype)
        message = message_of(self.prepared, card, dtype)
        size = len(encode(message, secrets.token_bytes(MAC_KEY_BYTES)))  # any key gives this length
        described: dict[str, Any] = {
            "records": f"{len(message.records)} of {card.m}x{card.e}",
            "dtype": dtype,
            "message_bytes": size,
            "scheme": card.scheme,
            "bundle_id": card.front_id[:12],
        }
        return described if self._show is None else described | {"picture": str(self._show)}
