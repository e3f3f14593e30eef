"""Folders as ZIP files, read and packed while they are sent, so that a download takes neither memory nor disk."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from fastapi.responses import StreamingResponse

PIECE = 65_536
"""Bytes of a file that are packed at a time."""


class Tray(io.RawIOBase):
    """A file that can only be written; what was written is taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[bytes] = []

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        """Take more."""
        self._written.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        found, self._written = b"".join(self._written), []
        return found


def zipped(name: str, folder: Path) -> Iterator[bytes]:
    """Yield the bytes of a ZIP file with all files below a folder, in a folder of that name."""
    tray = Tray()
    with zipfile.ZipFile(tray, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = f"{name}/{path.relative_to(folder).as_posix()}"
            with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as packed:
                while piece := file.read(PIECE):
                    packed.write(piece)
                    if found := tray.taken():
                        yield found
    yield tray.taken()


def download(name: str, folder: Path) -> StreamingResponse:
    """Return a folder as a ZIP file to be downloaded, called as the folder in it is."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(zipped(name, folder), media_type="application/zip", headers=headers)
