"""The preview on a file's page: a picture, or the beginning of a text."""

import codecs
import logging
from dataclasses import dataclass

from uploads.errors import StorageUnavailable
from uploads.images import DRAWN_TYPES, sniff
from uploads.links.follow import signed_seconds
from uploads.models import Upload
from uploads.storage import storage

log = logging.getLogger(__name__)

TEXT_BYTES = 64 * 1024  # of a text that the page shows
PICTURE_BYTES = 20 * 1024 * 1024  # of a picture, which a browser loads whole
SPACE = {"\t", "\n", "\r", "\f"}


@dataclass(frozen=True)
class Preview:
    """One of both, or neither."""

    text: str = ""
    cut: bool = False  # the text goes on
    picture_url: str = ""


def preview(upload: Upload) -> Preview:
    """The preview of a file that was read `with_seconds_left`; blank if storage does not answer."""
    try:
        head = storage().read(upload.served_key, TEXT_BYTES)
    except StorageUnavailable as error:
        log.warning("There is no preview: %s", error)
        return Preview()
    if not head:
        return Preview()
    content_type = sniff(head)
    if content_type in DRAWN_TYPES and upload.size_bytes <= PICTURE_BYTES:
        # Only an <img> shows this address; opened by itself, it is a download under the file's
        # name.
        url = storage().url(
            upload.served_key,
            seconds=signed_seconds(upload),
            content_type=content_type,
            download_as=upload.filename,
        )
        return Preview(picture_url=url)
    cut = upload.size_bytes > len(head)
    return Preview(text=text_of(head, cut=cut), cut=cut)


def text_of(head: bytes, *, cut: bool) -> str:
    """The bytes as text; blank if they are not text in UTF-8.

    If the bytes end early, the last character may be incomplete, and is left out.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=not cut)
    except UnicodeDecodeError:
        return ""
    return "" if any((c < " " and c not in SPACE) or c == "\x7f" for c in text) else text
