"""The API's bodies. The document states the limits, and the domain enforces them, because its
sentences are better."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from django.conf import settings
from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field, Strict

from uploads import limits
from uploads.models import State

# Without a path; `.` and `..` are no names.
NAME: dict[str, Any] = {"maxLength": limits.NAME_MAX, "pattern": f"^[^{limits.UNSHOWN}]*$"}
PASSWORD: dict[str, Any] = {**NAME, "maxLength": limits.PASSWORD_MAX}
FILENAME = {
    "minLength": 1,
    "maxLength": limits.FILENAME_MAX,
    "pattern": rf"^(?!\.{{1,2}}$)[^/\\{limits.UNSHOWN}]+$",
}
# File names with slashes between them, or nothing.
PART = rf"(?!\.{{1,2}}(/|$))[^/\\{limits.UNSHOWN}]{{1,{limits.FILENAME_MAX}}}"
FOLDER = {"maxLength": limits.FOLDER_MAX, "pattern": f"^({PART}(/{PART})*)?$"}

TTL: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": settings.UPLOAD_TTL_MAX},
        {"type": "null"},
    ]
}


def stated(**constraints: Any) -> Any:
    """Constraints for the document."""
    return Field(json_schema_extra=constraints)


def nullable(**constraints: Any) -> dict[str, Any]:
    """Constraints for the document, of what may be null; without any, of what must be."""
    return {"anyOf": [*([constraints] if constraints else []), {"type": "null"}]}


def whole(value: Any) -> Any:
    """JSON knows one kind of number: 4.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(whole)]


class NameAndTime(Schema):
    """The properties of a link that a client may choose."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, stated(**NAME)] = ""
    ttl: Annotated[Whole | None, Field(description="Seconds; null: the site's default.")] = Field(
        default=None, json_schema_extra=TTL
    )


class ClaimIn(NameAndTime):
    """An upload that a client announces."""

    filename: Annotated[str, stated(**FILENAME)]
    content_type: str = Field(description="The client's guess; the bytes decide.")


class Protection(Schema):
    """What makes a link open by a POST alone."""

    password: Annotated[str | None, Field(description="What opens the link; null: none.")] = Field(
        default=None, repr=False, json_schema_extra=nullable(type="string", **PASSWORD)
    )
    max_downloads: Annotated[
        Whole | None, Field(description="How often the link opens; null: any number.")
    ] = Field(
        default=None,
        json_schema_extra=nullable(type="integer", minimum=1, maximum=limits.DOWNLOADS_MAX),
    )


class ImageClaim(ClaimIn):
    """An image, which is shown once it has been made safe."""

    kind: Literal["image"]
    # Read, so that the domain's sentence says what to do; the document knows only null.
    password: str | None = Field(default=None, repr=False, json_schema_extra=nullable())
    max_downloads: Whole | None = Field(default=None, json_schema_extra=nullable())
    size: Annotated[Whole, stated(minimum=1, maximum=settings.MAX_IMAGE_BYTES)]


class FileClaim(Protection, ClaimIn):
    """A file of any type, which is offered as a download. One that joins a link can't protect
    it."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"link_id": {"type": "null"}}},
                {"properties": {name: {"type": "null"} for name in ("password", "max_downloads")}},
            ]
        }
    )

    kind: Literal["file"]
    size: Annotated[Whole, stated(minimum=1, maximum=settings.MAX_FILE_BYTES)]
    link_id: Annotated[
        uuid.UUID | None,
        Strict(False),  # JSON writes it as a string
        Field(description="Which link it joins, whose name and ttl count; none: one of its own."),
    ] = None
    folder: Annotated[str, stated(**FOLDER)] = Field(
        default="", description="Where it lies among the link's files: `photos/2026`."
    )


AnyClaim = Annotated[ImageClaim | FileClaim, Field(discriminator="kind")]


class TicketOut(Schema):
    """A form to send: all `fields` first, in any order, and the bytes last as `file`."""

    method: Literal["POST"]
    url: str
    fields: dict[str, str]
    expires_at: datetime = Field(description="Sending must begin before this time.")


class ClaimedOut(Schema):
    """The announced upload, with the ticket for its bytes. Send them, then call `complete`."""

    id: uuid.UUID
    link_id: uuid.UUID
    ttl: int = Field(description="Seconds that the upload lives after `complete`.")
    owner_token: str = Field(description="Manages this upload, as `Authorization: Bearer …`.")
    ticket: TicketOut


class UploadOut(Schema):
    """One upload."""

    id: uuid.UUID
    kind: Literal["image", "file"]
    state: State = Field(description="An image is `checking` until it has been made safe.")
    reason: str = Field(description="Why the image was rejected, else blank.")
    name: str
    filename: str = Field(description="Numbered, where the link had one of this name.")
    folder: str
    size: int
    content_type: str
    link: str | None = Field(description="The link to share. Null while pending or rejected.")
    link_id: uuid.UUID
    protected: bool = Field(description="Whether only a POST opens the link.")
    max_downloads: int | None = Field(description="How often the link opens. Null: any number.")
    downloads: int = Field(description="How often the link has been opened while protected.")
    thumbnail: str | None = Field(description="A ready image's thumbnail, for some minutes.")
    expires_at: datetime | None = Field(description="Null while pending.")
    seconds_left: float | None = Field(description="Until `expires_at`, by the server's clock.")


class LinkIn(Protection, NameAndTime):
    """A link that files will join."""


class LinkChange(Protection):
    """The changes to a link. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str | None, Field(description="Null: as it is.")] = Field(
        default=None, json_schema_extra={"anyOf": [{"type": "string", **NAME}, {"type": "null"}]}
    )
    ttl: Annotated[
        Whole | None,
        Field(
            description="Seconds from now on, or while it has no uploads from the first one on; it"
            f" ends at most {settings.UPLOAD_TTL_MAX} seconds after it was made. Null: as it is."
        ),
    ] = Field(default=None, json_schema_extra=TTL)


class LinkOut(Schema):
    """One link with its uploads."""

    id: uuid.UUID
    link: str = Field(description="The link to share.")
    name: str
    uploads: list[UploadOut] = Field(description="Those that are there.")
    size: int
    ttl: int = Field(description="Seconds, as last set.")
    protected: bool = Field(description="Whether only a POST opens the link.")
    has_password: bool
    max_downloads: int | None = Field(description="How often the link opens. Null: any number.")
    downloads: int = Field(description="How often the link has been opened while protected.")
    expires_at: datetime | None = Field(description="Null while it has no uploads.")
    seconds_left: float | None = Field(description="Until `expires_at`, by the server's clock.")
    zip: str | None = Field(description="All files as one zip, where there are several.")


class MadeLinkOut(LinkOut):
    """A new link, and the token that manages it."""

    owner_token: str = Field(description="Sent as `Authorization: Bearer …`, it manages this link.")


class ProblemOut(Schema):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
