"""`xnn serve`: the service, from a server bundle and a gallery."""

from pathlib import Path
from typing import Annotated

import typer

from xnn.cli.output import warn

_ALL = "Every setting is also XNN_NAME in the environment and a line of --config."


def serve(
    bundle: Annotated[
        Path | None,
        typer.Option(help="Server bundle of `noise export`.", show_default="required"),
    ] = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            help="sqlite:///FILE, or postgresql://USER@HOST/NAME (password: PGPASSWORD).",
            show_default="required",
        ),
    ] = None,
    device_bundle: Annotated[
        Path | None,
        typer.Option(help="Device bundle for the web console.", show_default="no console"),
    ] = None,
    master_key_file: Annotated[
        Path | None,
        typer.Option(help="Key that seals templates.", show_default="$XNN_MASTER_KEY"),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="0 takes a free one and logs it.", show_default="8000")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate chain, PEM.", show_default="no TLS")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its private key, PEM.", show_default=False)
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(help="Let in only clients with a certificate of this CA.", show_default=False),
    ] = None,
    allow_plain_http: Annotated[
        bool | None,
        typer.Option(
            "--allow-plain-http", help="Listen beyond this machine without TLS.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help=f"TOML file of settings. {_ALL}", show_default=False)
    ] = None,
) -> None:
    """Serve enrolment, verification and search over HTTP, without seeing a face.

    Devices send protected records, made by the device bundle that was exported together with
    this server bundle; pictures are refused. Needed first, once: a master key, and an API key.

        xnn gallery key master.key

        xnn account new --gallery sqlite:///gallery.db --role admin --role enrol --role search

        xnn serve --bundle SERVER --gallery sqlite:///gallery.db --master-key-file master.key

    It listens on this machine only. For others, give --host with --tls-cert and --tls-key, or put
    it behind a proxy that has TLS and say --allow-plain-http. SIGTERM or Ctrl-C stops it once what
    it accepted is answered. All settings, limits, and what the server learns:
    docs/guides/service.md.
    """
    from xnn.server.run import serve as run_service
    from xnn.server.settings import load_settings

    settings = load_settings(
        config,
        bundle=bundle,
        gallery=gallery,
        device_bundle=device_bundle,
        master_key_file=master_key_file,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        allow_plain_http=allow_plain_http,
    )
    if settings.allow_plain_http and settings.tls_cert is None:
        warn("no TLS: whoever reads the network has the API keys; only behind a proxy with TLS")
    run_service(settings)
