"""The body of a multipart form: spooled up to a limit a file, and read on a little beyond it.

Django would spool whatever comes before anybody could look at its size, and repair file names
before anybody could refuse them.
"""

import tempfile
from dataclasses import dataclass
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser

from s3tasks.web.request_body import CHUNK_BYTES, Body
from uploads.models import Kind

FILES_AT_ONCE = {Kind.IMAGE: 10, Kind.FILE: 1}

# How browsers write, in the header of a part, what would end the name there:
# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
ESCAPES = {"%0D": "\r", "%0A": "\n", "%22": '"'}


@dataclass(frozen=True)
class ArrivedFile:
    """One file of a form, under the very name that it was given."""

    name: str
    size_bytes: int  # as sent; beyond the limit, as far as it was read
    content: IO[bytes]  # empty beyond the limit

    def close(self) -> None:
        """The spooled bytes go; Django calls it at the end of the request."""
        self.content.close()


class Spool(FileUploadHandler):
    """Spools so many files, each up to the limit; of one beyond it only the size is known.

    The temporary file has no name: a process that is killed leaves nothing on the disk.
    """

    chunk_size = CHUNK_BYTES

    def __init__(self, body: Body, limit_bytes: int, most_files: int) -> None:
        super().__init__()
        self.body = body
        self.limit_bytes = limit_bytes
        self.most_files = most_files
        self.files = 0
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
        if self.size_bytes > self.limit_bytes or self.files > self.most_files:
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
        """Forget a file that was not completed."""
        if self.receiving:
            self.file.close()


class Parser(MultiPartParser):
    """Django's parser, which leaves the names alone."""

    def sanitize_file_name(self, file_name: str) -> str:
        for escape, character in ESCAPES.items():
            file_name = file_name.replace(escape, character)
        return file_name
