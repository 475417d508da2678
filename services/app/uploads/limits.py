"""What may be uploaded: sizes, names, types and times. Pure checks; nothing here touches a row."""

import re
import unicodedata
from datetime import timedelta

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from uploads.errors import InvalidUpload
from uploads.images import sniff

FILENAME_MAX = 255  # characters; what file systems take
NAME_MAX = 100  # characters

IMAGE_TYPES = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WebP",
    "image/avif": "AVIF",
    "image/heic": "HEIC",
}


def max_bytes(kind: str) -> int:
    """The largest upload of this kind, in bytes."""
    return settings.MAX_IMAGE_BYTES if kind == "image" else settings.MAX_FILE_BYTES


def check_size(kind: str, size_bytes: int) -> None:
    """Raise InvalidUpload unless there is at least a byte and at most the kind's limit."""
    if size_bytes <= 0:
        raise InvalidUpload(_("The file is empty."))
    if size_bytes > max_bytes(kind):
        raise InvalidUpload(too_large(kind))


def too_large(kind: str) -> str:
    """What is said of an upload beyond the limit."""
    if kind == "image":
        sentence = _("The image is too large: at most %(size)s are accepted.")
    else:
        sentence = _("The file is too large: at most %(size)s are accepted.")
    return sentence % {"size": size(max_bytes(kind))}


def size(size_bytes: int) -> str:
    """`20 MB`, `1.4 MB`."""
    return re.sub(r"[.,]0\xa0", "\xa0", filesizeformat(size_bytes))


def check_filename(filename: str) -> str:
    """The file's own name in Unicode's composed form; raises InvalidUpload.

    A name with a path or a control character is refused rather than repaired: a repaired one is
    no longer the name that the visitor gave, and no browser sends such a name by itself.
    """
    filename = unicodedata.normalize("NFC", filename)
    if not filename or filename in {".", ".."}:
        raise InvalidUpload(_("The file has no name."))
    if len(filename) > FILENAME_MAX:
        raise InvalidUpload(
            _("The file name has %(count)d characters; at most %(most)d are accepted.")
            % {"count": len(filename), "most": FILENAME_MAX}
        )
    if "/" in filename or "\\" in filename:
        raise InvalidUpload(_("The file name must not contain a path."))
    if has_control_characters(filename):
        raise InvalidUpload(_("The file name contains a line break or another control character."))
    return filename


def check_name(name: str) -> str:
    """The name that a visitor gives an upload, trimmed; may be empty; raises InvalidUpload."""
    name = unicodedata.normalize("NFC", name).strip()
    if len(name) > NAME_MAX:
        raise InvalidUpload(
            _("The name has %(count)d characters; at most %(most)d are accepted.")
            % {"count": len(name), "most": NAME_MAX}
        )
    if has_control_characters(name):
        raise InvalidUpload(_("The name contains a line break or another control character."))
    return name


def has_control_characters(text: str) -> bool:
    """Whether a control character, a line separator or a direction override is in it.

    Overrides make `exe.jpg` of `gpj.exe`: https://www.unicode.org/reports/tr36/#Bidirectional
    """
    return any(
        unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in "\u202a\u202b\u202d\u202e"
        for c in text
    )


def check_image_head(head: bytes) -> str:
    """The image's content type by its first bytes; raises InvalidUpload."""
    content_type = sniff(head)
    if content_type not in IMAGE_TYPES:
        raise InvalidUpload(not_an_image())
    return content_type


def not_an_image() -> str:
    """What is said of bytes of another type."""
    sentence = _("This is not an image that we accept (%(types)s).")
    return sentence % {"types": ", ".join(IMAGE_TYPES.values())}


def check_ttl(seconds: int | None) -> timedelta:
    """How long an upload lives; UPLOAD_TTL where nothing is asked; raises InvalidUpload."""
    if seconds is None:
        return timedelta(seconds=settings.UPLOAD_TTL)
    if not 1 <= seconds <= settings.UPLOAD_TTL_MAX:
        raise InvalidUpload(
            _("An upload lives from 1 to %(most)d seconds, not %(asked)d.")
            % {"most": settings.UPLOAD_TTL_MAX, "asked": seconds}
        )
    return timedelta(seconds=seconds)
