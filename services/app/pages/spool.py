"""The body of a multipart form: each file is spooled up to a limit, and read on a little beyond it.

Django would spool everything before anybody could check its size, and change file names before
anybody could refuse them.
"""

import tempfile
from dataclasses import dataclass
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser

from s3tasks.web.request_body import CHUNK_BYTES, Body
from uploads.models import Kind

FILES_AT_ONCE = {Kind.IMAGE: 10, Kind.FILE: 50}  # fewer than UPLOAD_RATE lets through
# Of all files of a form together: Heroku's 30 s begin when the body has come, and all of it goes on
# to storage before the answer.
FORM_BYTES = 200 * 1024 * 1024

# How browsers escape characters that would end the name in the header of a part:
# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
ESCAPES = {"%0D": "\r", "%0A": "\n", "%22": '"'}


@dataclass(frozen=True)
class ArrivedFile:
    """One file of a form, with the exact name that it was sent with."""

    name: str
    size_bytes: int  # as sent, or as much as was read of a file beyond the limit
    content: IO[bytes]  # empty beyond the limit

    def close(self) -> None:
        """Remove the spooled bytes; Django calls this at the end of the request."""
        self.content.close()


class Spool(FileUploadHandler):
    """Spools so many files, each up to the limit and all up to FORM_BYTES. Of a file beyond one of
    these only the size is kept.

    The temporary file has no name: a process that is killed leaves nothing on the disk.
    """

    chunk_size = CHUNK_BYTES

    def __init__(self, body: Body, limit_bytes: int, most_files: int) -> None:
        super().__init__()
        self.body = body
        self.limit_bytes = limit_bytes
        self.most_files = most_files
        self.files = 0
        self.total_bytes = 0
        self.receiving = False

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.files += 1
        self.receiving = True
        self.size_bytes = 0
        folder = settings.FILE_UPLOAD_TEMP_DIR
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  see close()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.size_bytes += len(raw_data)
        self.total_bytes += len(raw_data)
        if (
            self.size_bytes > self.limit_bytes
            or self.total_bytes > FORM_BYTES
            or self.files > self.most_files
        ):
            self.file.seek(0)
            self.file.truncate()
            self.body.start_draining()
        else:
            self.file.write(raw_data)

    def file_complete(self, file_size: int) -> ArrivedFile:  # type: ignore[override]
        self.file.seek(0)
        self.receiving = False
        return ArrivedFile(str(self.file_name), self.size_bytes, self.file)

    def close(self) -> None:
        """Forget a file that did not arrive completely."""
        if self.receiving:
            self.file.close()


class Parser(MultiPartParser):
    """Django's parser, without its changes to file names."""

    def sanitize_file_name(self, file_name: str) -> str:
        for escape, character in ESCAPES.items():
            file_name = file_name.replace(escape, character)
        return file_name
