"""The methods `file_server/...`: the sandboxes that clients upload and jobs fetch from `/cache`."""

from __future__ import annotations

import os
import shutil
import struct
import uuid
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from services.panda.server.envelope import Call, Reply, failed, method, ok
from services.panda.server.templates import SAFE_NAME

MB = 1024 * 1024
SMALL_LIMIT = 10 * MB
SOURCES_LIMIT = 768 * MB
OVERWRITABLE = ".__ow__"
SIZE_ERROR = "ERROR: upload failure. Exceeded size limit"


class Upload(Protocol):
    """A file of a multipart form."""

    filename: str | None
    size: int | None
    file: BinaryIO


@method("file_server/validate_cache_file", "POST")
def validate_cache_file(call: Call, file_size: int, checksum: int | str) -> Reply:
    """Whether the caller has uploaded this content before: `FOUND:host:name` or `NOTFOUND`."""
    with call.database.transaction() as transaction:
        found = transaction.row(
            "SELECT filename FROM sandboxes WHERE username = %s AND filesize = %s AND checksum = %s"
            " ORDER BY creationtime DESC LIMIT 1",
            [call.user, file_size, str(checksum)],
        )
    if found is None or not (call.settings.cache / found["filename"]).exists():
        return failed("NOTFOUND")
    host = urlsplit(call.settings.base).hostname
    return ok(message=f"FOUND:{host}:{found['filename']}")


@method("file_server/upload_cache_file", "POST")
def upload_cache_file(call: Call, file: Any) -> Reply:
    """Keep a file under its name, which must be new."""
    if not hasattr(file, "filename") or not hasattr(file, "file"):
        return failed("Type error: 'file' must be of type FileStorage, got str.")
    given: Upload = file
    name = (given.filename or "").split("/")[-1]
    limit = SOURCES_LIMIT if name.startswith("sources.") else SMALL_LIMIT
    if (given.size or 0) > limit:
        return failed(_too_large(given.size or 0, limit))
    path = call.settings.cache / name
    if not SAFE_NAME.fullmatch(name) or name.startswith("."):
        return failed("ERROR: cannot write file")
    if path.exists() and not name.endswith(OVERWRITABLE):
        return failed("ERROR: cannot overwrite file")
    checksum = _keep(given.file, path)
    with call.database.transaction() as transaction:
        transaction.execute(
            "INSERT INTO sandboxes (filename, username, filesize, checksum) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (filename) DO UPDATE SET username = excluded.username, filesize = excluded.filesize,"
            " checksum = excluded.checksum, creationtime = utc()",
            [name, call.user, path.stat().st_size, checksum],
        )
    return ok()


def _keep(source: BinaryIO, path: Path) -> str | None:
    """Write the file, whole or not at all; returns the checksum in a gzip file's last bytes, as its text."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as target:
            shutil.copyfileobj(source, target, MB)
            target.flush()
            os.fsync(target.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    with path.open("rb") as written:
        if written.seek(0, os.SEEK_END) < 8:
            return None
        written.seek(-8, os.SEEK_END)
        return str(struct.unpack("<II", written.read(8))[0])


def _too_large(size: int, limit: int) -> str:
    advice = (
        "Please submit the job without --noBuild/--libDS since those options impose a tighter size limit"
        if limit == SMALL_LIMIT
        else "Please remove redundant files from your work area"
    )
    return f"{SIZE_ERROR} {size // MB} MB > {limit // MB} MB. {advice}"
