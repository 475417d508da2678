"""The local disk, which stands in for S3 on one machine."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from uploads.errors import StorageUnavailable
from uploads.storage import disk_signatures
from uploads.storage.headers import response_headers
from uploads.storage.protocol import (
    ANY_PARTS,
    DELETE_MAX,
    NO_ANSWER,
    Method,
    Parts,
    StoredObject,
    Ticket,
)

PARTS_FOLDER = "parts"  # the local folder of files that are not whole yet


@contextmanager
def answering() -> Iterator[None]:
    """Turn every error of the disk into StorageUnavailable."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(NO_ANSWER, cause=str(error)) from error


class LocalDisk:
    """A folder, for one machine. Its signed addresses are the app's own, under `/storage/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """The key's file; raises ValueError where a key would lead out of the folder."""
        if key.startswith("/") or ".." in key.split("/"):
            raise ValueError(f"{key} leads out of the storage folder")
        return self.root / key

    def prepare(self) -> None:
        with answering():
            self.root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, content: IO[bytes], *, content_type: str) -> None:
        """Written beside its place and moved there. What a kill leaves behind is listed as an
        object without a row, which reconcile removes."""
        path = self.path(key)
        with self._answering():
            path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f"{path.name}.", delete=False
            ) as part:
                try:
                    shutil.copyfileobj(content, part, 1024 * 1024)
                    part.flush()
                    os.fsync(part.fileno())
                    Path(part.name).replace(path)
                except BaseException:
                    with suppress(FileNotFoundError):
                        Path(part.name).unlink()
                    raise

    def ticket(self, key: str, *, size_bytes: int, content_type: str, seconds: int) -> Ticket:
        """The fields are S3's, so that a client sends both alike; only the address, which is
        signed, counts."""
        url = disk_signatures.sign_ticket(key, size_bytes=size_bytes, seconds=seconds)
        return Ticket("POST", url, {"key": key, "Content-Type": content_type})

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """One file, to which the parts are appended."""
        folder = self.root / PARTS_FOLDER
        with self._answering():
            folder.mkdir(exist_ok=True)
            prefix = f"{key.replace('/', '.')}."
            with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, delete=False) as file:
                return Path(file.name).name

    def put_part(
        self, key: str, multipart_id: str, number: int, content: bytes, *, at: int | None = None
    ) -> str:
        with self._answering(), self._parts(multipart_id).open("r+b") as file:
            file.seek(*((0, os.SEEK_END) if at is None else (at,)))
            file.write(content)
        return ""

    def join_parts(self, key: str, multipart_id: str, parts: list[str]) -> None:
        path = self.path(key)
        with self._answering():
            path.parent.mkdir(exist_ok=True)
            with self._parts(multipart_id).open("rb") as file:
                os.fsync(file.fileno())
            self._parts(multipart_id).replace(path)

    def abort_parts(self, key: str, multipart_id: str) -> None:
        with self._answering():
            begun = [self._parts(multipart_id)]
            if multipart_id == ANY_PARTS:
                begun = list((self.root / PARTS_FOLDER).glob(f"{key.replace('/', '.')}.*"))
            for path in begun:
                remove(path, under=self.root)

    def list_parts(self) -> Iterator[list[Parts]]:
        folder = self.root / PARTS_FOLDER
        page = []
        with self._answering():
            for path in folder.iterdir() if folder.is_dir() else ():
                with suppress(FileNotFoundError):  # joined since it was listed
                    begun_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    key = path.name.rpartition(".")[0].replace(".", "/", 1)
                    page.append(Parts(key, path.name, begun_at))
        yield page

    def _parts(self, multipart_id: str) -> Path:
        return self.path(f"{PARTS_FOLDER}/{multipart_id}")

    def head(self, key: str) -> StoredObject | None:
        with self._answering():
            try:
                return stored_file(key, self.path(key))
            except FileNotFoundError:
                return None

    def copy(self, source: str, target: str, *, etag: str, content_type: str) -> bool:
        """A second name of the same file: what is stored under the first one later takes its place
        and changes nothing of it."""
        path = self.path(target)
        link = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with self._answering():
            path.parent.mkdir(exist_ok=True)
            try:
                os.link(self.path(source), link)
            except FileNotFoundError:
                return False
            try:
                if stored_file(source, link).etag != etag:
                    return False
                link.replace(path)
            finally:
                link.unlink(missing_ok=True)  # also where both were one file: nothing is renamed
        return True

    def exists_quickly(self, key: str) -> bool:
        return self.head(key) is not None

    def read(self, key: str, count: int | None = None, *, start: int = 0) -> bytes | None:
        with self._answering():
            try:
                with self.path(key).open("rb") as file:
                    file.seek(start)
                    return file.read(-1 if count is None else count)
            except FileNotFoundError:
                return None

    def fetch(self, key: str, target: Path) -> bool:
        with self._answering():
            try:
                shutil.copyfile(self.path(key), target)
            except FileNotFoundError:
                return False
            return True

    def delete(self, keys: list[str]) -> dict[str, str]:
        self.check_bucket()
        errors = {}
        for key in keys:
            try:
                remove(self.path(key), under=self.root)
            except (OSError, ValueError) as error:
                errors[key] = str(error)
        return errors

    def pages(self, prefix: str, after: str = "") -> Iterator[list[StoredObject]]:
        """Whatever lies there is an object: a folder and a link, too."""
        folder = self.root / prefix
        with self._answering():
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        keys = [f"{prefix}/{name}" for name in sorted(names, key=os.fsencode)]
        keys = [key for key in keys if os.fsencode(key) > os.fsencode(after)]
        for start in range(0, len(keys), DELETE_MAX):
            page = []
            with self._answering():
                for key in keys[start : start + DELETE_MAX]:
                    with suppress(FileNotFoundError):  # deleted since it was listed
                        page.append(stored_file(key, self.path(key)))
            yield page

    def check_bucket(self) -> None:
        """The folder is made once, when it is paired with the database: one that has gone since is
        a disk that is not mounted, and must not look like an empty one."""
        if not self.root.is_dir():
            raise StorageUnavailable(NO_ANSWER, cause=f"there is no folder {self.root}")

    def seconds_ahead(self) -> float:
        """It is this machine's."""
        return 0.0

    def url(
        self,
        key: str,
        *,
        seconds: int,
        method: Method = "GET",
        content_type: str,
        download_as: str | None,
    ) -> str:
        headers = response_headers(seconds, content_type, download_as)
        return disk_signatures.sign_link(key, headers, seconds=seconds)

    def open(self, key: str) -> IO[bytes] | None:
        """The key's file, for whoever sends it; None where it has gone."""
        with self._answering():
            try:
                return self.path(key).open("rb")
            except FileNotFoundError:
                return None

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self.check_bucket()
        with answering():
            yield


def stored_file(key: str, path: Path) -> StoredObject:
    """What the disk knows of one file; raises FileNotFoundError."""
    stat = path.lstat()
    modified_at = datetime.fromtimestamp(stat.st_mtime, UTC)
    return StoredObject(key, stat.st_size, modified_at, etag=f"{stat.st_ino}-{stat.st_mtime_ns}")


def remove(path: Path, *, under: Path) -> None:
    """Remove what lies there, if anything does; a link's own target stays, and so do the folders in
    which objects lie. Raises OSError or ValueError where it stays."""
    try:
        folder = path.is_dir() and not path.is_symlink()
        if folder and len(path.relative_to(under).parts) < 2:
            raise ValueError(f"{path} is no object")
        if folder:
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        # A name too long for a file, or one below a file, is there for nobody.
        if error.errno not in {errno.ENAMETOOLONG, errno.ENOTDIR}:
            raise
