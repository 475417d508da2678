"""A trial of the bucket by each release: it must do everything that the app asks of it, and refuse
everything that nobody may do.

S3 servers differ most in forms: some accept none, and some accept any, whatever the form's policy
says.
"""

import io
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from uploads.errors import StorageUnavailable
from uploads.keys import INCOMING, key_under
from uploads.storage import S3, Ticket
from uploads.storage.s3_admin import delete_alone, read_unsigned, send_form

SECONDS = 300  # that a form is valid
DAY = 24 * 60 * 60  # seconds; more than a server's clock may differ
CONTENT = b"?"
GRANTED = range(200, 300)


def try_out(s3: S3) -> list[str]:
    """Sentences for what the app can't do in the bucket and what others can do; any of them rules
    the bucket out.

    About thirty requests. Whatever fails, the trial removes its objects, and names those that can't
    be deleted. It raises no error of storage.
    """
    trial = Trial(s3)
    steps: list[tuple[str, Callable[[], Iterable[str]]]] = [
        ("store and read an object", trial.store),
        ("copy an object", trial.copy),
        ("store an object in parts", trial.join_parts),
        ("abort parts", trial.abort_parts),
        ("list parts", trial.list_parts),
        ("list objects", trial.list_objects),
        ("let a visitor send a form", trial.forms),
    ]
    found: list[str] = []
    try:
        for what, step in steps:
            try:
                found.extend(step())
            except StorageUnavailable as error:
                found.append(f"The app may not {what} in the bucket: {error.__cause__}")
    finally:
        found.extend(trial.remove())
    return found


class Trial:
    """The trial's objects, which belong to no upload, each under a key of its own."""

    def __init__(self, s3: S3) -> None:
        self.s3 = s3
        self.keys: list[str] = []  # under which an object may be left
        self.unfinished: set[str] = set()  # keys of multipart uploads that were begun

    def new_key(self, prefix: str = INCOMING) -> str:
        """A new key, without an object."""
        self.keys.append(key_under(prefix, uuid.uuid4()))
        return self.keys[-1]

    def put(self) -> str:
        """The key of a newly stored object."""
        key = self.new_key()
        self.s3.put(key, io.BytesIO(CONTENT), content_type="text/plain")
        return key

    def holds(self, key: str) -> bool:
        """Whether the object is there with the bytes that were stored."""
        return self.s3.head(key) is not None and self.s3.read(key, 1) == CONTENT

    def store(self) -> Iterator[str]:
        """Store an object as the worker stores an image, and check that a stranger can't read
        it."""
        key = self.put()
        if not self.holds(key):
            yield "The bucket does not give back what was stored in it."
        if read_unsigned(self.s3, key) in GRANTED:
            yield (
                "Anybody may read the bucket's objects, without a signature: no link would ever"
                " end. Remove the policy or the ACL that makes it public."
            )

    def copy(self) -> Iterator[str]:
        """Copy an object as `complete` copies a file."""
        key = self.put()
        source = self.s3.head(key)
        if source is None or not self.copies(key, source.etag):
            yield "The server copies no object, where it is asked for the one that was looked at."
        if self.copies(key, f'"{"0" * 32}"'):
            yield (
                "The server copies an object that is not the one that was looked at (it ignores"
                " x-amz-copy-source-if-match): a visitor could exchange what a link leads to."
            )

    def copies(self, source: str, etag: str) -> bool:
        """Whether S3 copies the object on condition of this ETag."""
        target = self.new_key("files")
        self.s3.copy(source, target, etag=etag, content_type="application/octet-stream")
        return self.holds(target)

    def put_part(self) -> tuple[str, str, str]:
        """A key, the id of its multipart upload, and the ETag of its first part."""
        key = self.new_key("files")
        self.unfinished.add(key)
        multipart_id = self.s3.begin_parts(key, content_type="application/octet-stream")
        return key, multipart_id, self.s3.put_part(key, multipart_id, 1, CONTENT)

    def join_parts(self) -> Iterator[str]:
        """Join parts as a PUT of a large file does."""
        key, multipart_id, part = self.put_part()
        self.s3.join_parts(key, multipart_id, [part])
        self.unfinished.remove(key)
        if not self.holds(key):
            yield "The bucket says that it joined an object's parts, and the object is not there."

    def abort_parts(self) -> Iterator[str]:
        """Abort parts as the discard of an interrupted PUT does."""
        key, multipart_id, _ = self.put_part()
        self.s3.abort_parts(key, multipart_id)
        self.unfinished.remove(key)
        yield from ()

    def list_parts(self) -> Iterator[str]:
        """As reconcile does."""
        next(self.s3.list_parts(), None)
        yield from ()

    def list_objects(self) -> Iterator[str]:
        """As reconcile does."""
        next(self.s3.pages(INCOMING), None)
        yield from ()

    def forms(self) -> Iterator[str]:
        """Send forms as browsers do: a correct one, and for each rule of the policy one that breaks
        it."""
        right = self.ticket()
        answer = self.send(right, CONTENT)
        if answer:
            yield (
                f"The server takes no form: {answer}. Browsers could send nothing to it; it must"
                " know S3's POST of a form with a policy, see docs/OPERATIONS.md."
            )
            return
        for what, consequence, ticket, content in self.wrong_forms():
            if not self.send(ticket, content):
                yield f"The server takes a form {what}: {consequence}."

    def ticket(self, *, seconds: int = SECONDS) -> Ticket:
        """A visitor's ticket for an upload of one byte."""
        return self.s3.ticket(
            self.new_key(), size_bytes=len(CONTENT), content_type="text/plain", seconds=seconds
        )

    def wrong_forms(self) -> Iterator[tuple[str, str, Ticket, bytes]]:
        """For each wrong form: what is wrong with it, what it would allow, the form, and the bytes
        sent with it."""
        yield (
            "with a byte more than its policy allows",
            "a visitor could store without any limit",
            self.ticket(),
            CONTENT * 2,
        )
        yield (
            "for another key than its policy names",
            "a visitor could write over anybody's upload, and over the marker",
            changed(self.ticket(), key=self.new_key("files")),
            CONTENT,
        )
        yield (
            "whose time is over",
            "a visitor could store for ever",
            self.ticket(seconds=-DAY),
            CONTENT,
        )
        yield (
            "with a signature that is not the app's",
            "anybody could store anything",
            changed(self.ticket(), **{"x-amz-signature": "0" * 64}),
            CONTENT,
        )

    def send(self, ticket: Ticket, content: bytes) -> str:
        """Blank if the form's object was stored; else the server's answer."""
        status, code = send_form(self.s3, ticket, content)
        if self.s3.head(ticket.fields["key"]) is not None:
            return ""
        return f"it answers {status} {code}".strip()

    def remove(self) -> Iterator[str]:
        """Delete everything that was stored, also by a step that failed half-way."""
        try:
            problems = self.s3.delete(self.keys)
        except StorageUnavailable as error:
            problems = dict.fromkeys(self.keys, str(error.__cause__))
        for problem in set(problems.values()):
            yield f"The app may not empty the bucket: {problem}"
        for key in problems.keys() | self.unfinished:
            try:
                delete_alone(self.s3, key)
            except StorageUnavailable as error:
                yield f"{key}, of this trial, is still in the bucket: {error.__cause__}"


def changed(ticket: Ticket, **fields: str) -> Ticket:
    """The same form, with these fields in place of the signed ones."""
    return replace(ticket, fields={**ticket.fields, **fields})
