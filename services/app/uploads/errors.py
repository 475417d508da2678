"""The tree of errors.

UploadError                 one sentence for the visitor, one HTTP status
├── InvalidUpload     422   what was sent is not allowed
│   └── ImageRejected 422   it could not be made safe
├── QuotaExceeded     429   there is no room; `retry_after` says when to look again
├── RateLimited       429   too many from one address, or too many wrong passwords
├── LinkProtected     403   nothing but a POST opens it
│   └── WrongPassword 403   that one came with another password
├── UploadNotFound    404   expired, unknown, or somebody else's
├── BytesMissing      409   the client says complete, storage says no
├── StillChecking     503   the worker has not made the image safe yet
├── StillPacking      503  the worker has not finished the zip yet
├── SlowConnection 503/408 the server ended the sender's connection
├── DatabaseUnavailable 503 Postgres did not answer, or takes nothing for now
└── StorageUnavailable 503  storage did not answer, or answered with an error

NotItsTurn                  other images leave no room in memory to make this one safe
DecoderStopped              something ended the program while it made an image safe
DecoderBroken               the program that makes images safe does not start
BucketMismatch              the bucket belongs to another installation: nothing is removed
TooMuchToRemove             one reconcile would remove more than a fifth: nothing is removed
"""


class UploadError(Exception):
    """Its first argument is the sentence that the visitor reads."""

    status = 500
    retry_after: int | None = None  # seconds

    @property
    def sentence(self) -> str:
        """What the visitor reads."""
        return str(self.args[0])


class InvalidUpload(UploadError):
    """What was sent is not allowed."""

    status = 422


class ImageRejected(InvalidUpload):
    """The image could not be made safe; the sentence says why."""


class QuotaExceeded(UploadError):
    """There is no room now."""

    status = 429

    def __init__(self, sentence: str, *, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class RateLimited(QuotaExceeded):
    """Too many uploads from one address, or too many wrong passwords for one link."""


class LinkProtected(UploadError):
    """Nothing opens the link but a POST."""

    status = 403


class WrongPassword(LinkProtected):
    """The POST came without the link's password, or with another."""


class UploadNotFound(UploadError):
    """Expired, unknown, or another visitor's; the answer doesn't say which."""

    status = 404


class BytesMissing(UploadError):
    """The client says that the bytes are there, and they are not."""

    status = 409


class StillChecking(UploadError):
    """The worker has not made the image safe yet."""

    status = 503
    retry_after = 1


class StillPacking(UploadError):
    """The worker has not finished the zip yet."""

    status = 503
    retry_after = 2

    def __init__(self, sentence: str, *, per_cent: int) -> None:
        super().__init__(sentence)
        self.per_cent = per_cent


class SlowConnection(UploadError):
    """The server ended the connection on which the bytes came, or had no place for it."""

    def __init__(self, sentence: str, *, status: int, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after = retry_after


class DatabaseUnavailable(UploadError):
    """Postgres did not answer, or takes nothing for now."""

    status = 503
    retry_after = 30


class StorageUnavailable(UploadError):
    """Storage did not answer, or answered with an error; `cause` is which, for an operator."""

    status = 503
    retry_after = 30

    def __init__(self, sentence: object, *, cause: str = "") -> None:
        super().__init__(sentence)
        self.cause = cause or str(sentence)


class NotItsTurn(Exception):
    """Other images left no room to make this one safe; it was not begun."""


class DecoderStopped(Exception):
    """The program that makes images safe was ended from elsewhere, perhaps for this image."""


class DecoderBroken(Exception):
    """The program that makes images safe does not start."""


class BucketMismatch(Exception):
    """The bucket's marker is not this installation's, so nothing in it may be removed."""


class TooMuchToRemove(Exception):
    """One reconcile would remove so much that a mistake is more likely."""
