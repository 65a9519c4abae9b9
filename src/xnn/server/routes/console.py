"""The console's files, and those of the device bundle that its page runs in the browser."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from xnn.errors import UnknownNameError
from xnn.server.dependencies import AnyCaller, ServiceOf
from xnn.server.routes.documented import problems

router = APIRouter(tags=["console"])
PAGES = Path(__file__).parents[1] / "console"
_FILE_NAME = r"^[a-z0-9][a-z0-9-]{0,63}\.(onnx|json)$"
_FILE = {
    "content": {"application/json": {}, "application/octet-stream": {}},
    "description": "The file's bytes.",
}
FileName = Annotated[
    str, PathParameter(pattern=_FILE_NAME, max_length=80, examples=["device.json"])
]


@router.get(
    "/console/device/{file}",
    response_class=FileResponse,
    responses=problems(404) | {200: _FILE},
)
async def read_device_file(service: ServiceOf, caller: AnyCaller, file: FileName) -> FileResponse:
    """Give a file of the device bundle, so that a browser makes its records itself. Any role."""
    folder = service.settings.device_bundle
    path = None if folder is None else folder / file
    if path is None or not await service.in_thread(path.is_file):
        hint = "start with --device-bundle" if folder is None else "device.json names them all"
        raise UnknownNameError(f"there is no file {file!r} of a device bundle here; {hint}")
    kind = "application/json" if file.endswith(".json") else "application/octet-stream"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "private, no-cache"})


class ConsolePages(StaticFiles):
    """The page and what it loads; says so where it was not built."""

    def __init__(self) -> None:
        super().__init__(directory=PAGES, html=True, check_dir=False)

    async def check_config(self) -> None:
        """Let an absent folder be: it is answered for below."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file.

        Raises:
            UnknownNameError: There is none, or the console was not built.
        """
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404:
                raise
            response = Response(status_code=404)
        if response.status_code == 404:
            built = (PAGES / "index.html").is_file() and (PAGES / "vendor").is_dir()
            hint = "begin at /console/" if built else "it was not built: run `make console`"
            raise UnknownNameError(f"the console has no such file; {hint}")
        return response
