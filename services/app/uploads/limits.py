"""The limits of an upload: sizes, names, types and times. Pure checks; nothing here touches a
row."""

import re
import unicodedata
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from uploads.errors import InvalidUpload
from uploads.images import IMAGE_TYPES, sniff
from uploads.models import Kind

FILENAME_MAX = 255  # bytes in UTF-8; what file systems take
FOLDER_MAX = 1000  # bytes in UTF-8, slashes too
NAME_MAX = 100  # characters
PASSWORD_MAX = 128  # characters
DOWNLOADS_MAX = 2**31 - 1  # what its column holds
# Composing takes time, and may make four characters one. More of them are too long without it:
# on Python 3.11.7 it is quadratic in a run of accents.
DECOMPOSED_MAX = 4

# What no name may hold, in the words of a regular expression: what shows nothing, or shows another
# name than the one that is stored, as an override makes `exe.jpg` of `gpj.exe`:
# https://www.unicode.org/reports/tr36/#Bidirectional and /tr39/#Identifier_Status
# Let through: the joiners U+200C and U+200D and the variation selectors, without which emoji and
# Indic scripts are not themselves; what is unassigned or private, which a newer system may show.
UNSHOWN = (
    r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # control characters, ends of lines
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u3164\ufeff\uffa0"  # what shows nothing
    r"\u2060-\u2065\u206a-\u206f\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff"  # tags
    r"\ufdd0-\ufdef\ufffe\uffff"  # what is no character, here and at the end of each plane
    + "".join(
        chr(plane + 0xFFFE) + chr(plane + 0xFFFF) for plane in range(0x10000, 0x110000, 0x10000)
    )
)
_UNSHOWN = re.compile(rf"[{UNSHOWN}\ud800-\udfff]")  # and halves of characters


@dataclass(frozen=True)
class Claim:
    """A claim for an upload, completely checked: only this module makes one.

    Whoever takes a Claim need not check it again.
    """

    owner: uuid.UUID
    kind: Kind
    filename: str
    folder: str  # a relative path, which may be empty
    name: str
    size_bytes: int  # 0 while nobody knows
    ttl: timedelta
    address: str | None  # the address in whose share it counts; None: no address
    link_id: uuid.UUID | None  # which link it joins; None: it has a new one
    password: str = field(repr=False)  # its new link's, hashed; blank: none
    max_downloads: int | None  # its new link's; None: any number


def check_claim(
    *,
    owner: uuid.UUID,
    kind: Kind,
    filename: str,
    size_bytes: int | None,
    folder: str = "",
    name: str = "",
    ttl: int | None = None,
    address: str | None = None,
    link_id: uuid.UUID | None = None,
    password: str = "",
    max_downloads: int | None = None,
) -> Claim:
    """The claim; raises InvalidUpload.

    `size_bytes`: None where the client does not say, and `with_size` comes later. `ttl` in seconds;
    UPLOAD_TTL where None. What joins a link by `link_id` has that link's name and ttl, and cannot
    protect it. Hashing a password takes half a second.
    """
    if link_id is not None:
        check_may_share(kind)
    if password or max_downloads is not None:
        check_may_protect(kind, link_id)
    if size_bytes is not None:
        check_size(kind, size_bytes)
    return Claim(
        owner=owner,
        kind=kind,
        filename=check_filename(filename),
        folder=check_folder(folder),
        name=check_name(name),
        size_bytes=size_bytes or 0,
        ttl=check_ttl(ttl),
        address=address,
        link_id=link_id,
        max_downloads=check_max_downloads(max_downloads),
        password=hash_password(password),
    )


def with_size(claim: Claim, size_bytes: int) -> Claim:
    """The claim of so many bytes; raises InvalidUpload."""
    check_size(claim.kind, size_bytes)
    return replace(claim, size_bytes=size_bytes)


def check_may_share(kind: str) -> None:
    """Raise InvalidUpload for an image, which has its link for itself."""
    if kind == "image":
        raise InvalidUpload(_("Only files can share a link; an image has its own."))


def check_may_protect(kind: str, link_id: uuid.UUID | None = None) -> None:
    """Raise InvalidUpload for an image, which is never protected, and for what joins a link."""
    if kind == "image":
        raise InvalidUpload(
            _(
                "An image can't have a password or a number of downloads. Upload it as a file:"
                " a file's link can."
            )
        )
    if link_id is not None:
        raise InvalidUpload(
            _("A password or a number of downloads is for the whole link; a file can't add one.")
        )


def check_max_downloads(count: int | None) -> int | None:
    """How often a link may be opened; None: any number. Raises InvalidUpload."""
    if count is not None and not 1 <= count <= DOWNLOADS_MAX:
        raise InvalidUpload(
            _("The number of downloads must be from 1 to %(most)d, not %(asked)d.")
            % {"most": DOWNLOADS_MAX, "asked": count}
        )
    return count


def hash_password(password: str) -> str:
    """The password as it is kept: blank where there is none; raises InvalidUpload.

    Half a second of CPU.
    """
    password = check_password(password)
    return make_password(password) if password else ""


def check_password(password: str) -> str:
    """The password of a link in Unicode's composed form, which not every keyboard sends; may be
    empty; raises InvalidUpload."""
    password = composed_password(password)
    if len(password) > PASSWORD_MAX:
        raise InvalidUpload(
            _("The password is %(count)d characters long; at most %(most)d are accepted.")
            % {"count": len(password), "most": PASSWORD_MAX}
        )
    if has_unshown_characters(password):
        raise InvalidUpload(_("The password contains a line break or another invisible character."))
    return password


def composed_password(password: str) -> str:
    """The password in Unicode's composed form; one that is too long, as it is."""
    if len(password) > PASSWORD_MAX * DECOMPOSED_MAX:
        return password
    return unicodedata.normalize("NFC", password)


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
    """The sentence for an upload beyond the limit."""
    if kind == "image":
        sentence = _("The image is too large. The limit is %(size)s.")
    else:
        sentence = _("The file is too large. The limit is %(size)s.")
    return sentence % {"size": size(max_bytes(kind))}


def size(size_bytes: int) -> str:
    """`20 MB`, `1.4 MB`."""
    return re.sub(r"[.,]0\xa0", "\xa0", filesizeformat(size_bytes))


def check_filename(filename: str) -> str:
    """The file's own name in Unicode's composed form; raises InvalidUpload.

    A name with a path or a control character is refused rather than repaired: a repaired one is
    no longer the name that the visitor gave, and no browser sends such a name by itself.
    """
    if len(filename) <= FILENAME_MAX * DECOMPOSED_MAX:
        filename = unicodedata.normalize("NFC", filename)
    if not filename or filename in {".", ".."}:
        raise InvalidUpload(_("The file has no name."))
    size_bytes = len(filename.encode(errors="surrogatepass"))
    if size_bytes > FILENAME_MAX:
        raise InvalidUpload(
            _(
                "The file name is %(count)d bytes long; at most %(most)d are accepted. A letter"
                " with an accent takes 2 bytes, a letter of another script up to 4."
            )
            % {"count": size_bytes, "most": FILENAME_MAX}
        )
    if "/" in filename or "\\" in filename:
        raise InvalidUpload(_("The file name must not contain a path."))
    if has_unshown_characters(filename):
        raise InvalidUpload(
            _("The file name contains a line break or another invisible character.")
        )
    return filename


def check_folder(folder: str) -> str:
    """The relative path of the folder that a file lies in, `photos/2026`, each part of it as a file
    name may be; empty where it lies in none. Raises InvalidUpload."""
    if not folder:
        return ""
    if len(folder) <= FOLDER_MAX * DECOMPOSED_MAX:
        folder = unicodedata.normalize("NFC", folder)
    if len(folder.encode(errors="surrogatepass")) > FOLDER_MAX:
        raise InvalidUpload(
            _("The folder's path is too long; at most %d bytes are accepted.") % FOLDER_MAX
        )
    try:
        return "/".join(check_filename(part) for part in folder.split("/"))
    except InvalidUpload as error:
        raise InvalidUpload(
            _("The folder must be a relative path, such as photos/2026. %s") % error.sentence
        ) from error


def check_name(name: str) -> str:
    """The name that a visitor gives an upload, trimmed; may be empty; raises InvalidUpload."""
    name = name.strip()
    if len(name) <= NAME_MAX * DECOMPOSED_MAX:
        name = unicodedata.normalize("NFC", name)
    if len(name) > NAME_MAX:
        raise InvalidUpload(
            _("The name is %(count)d characters long; at most %(most)d are accepted.")
            % {"count": len(name), "most": NAME_MAX}
        )
    if has_unshown_characters(name):
        raise InvalidUpload(_("The name contains a line break or another invisible character."))
    return name


def has_unshown_characters(text: str) -> bool:
    """Whether one of UNSHOWN is in it."""
    return _UNSHOWN.search(text) is not None


def check_image_head(head: bytes) -> str:
    """The image's content type by its first bytes; raises InvalidUpload."""
    content_type = sniff(head)
    if content_type is None:
        raise InvalidUpload(not_an_image())
    return content_type


def not_an_image() -> str:
    """The sentence for bytes of another type."""
    sentence = _("This is not an image that we accept (%(types)s).")
    return sentence % {"types": ", ".join(IMAGE_TYPES.values())}


def check_ttl(seconds: int | None) -> timedelta:
    """How long an upload lives; UPLOAD_TTL where nothing is asked; raises InvalidUpload."""
    if seconds is None:
        return timedelta(seconds=settings.UPLOAD_TTL)
    if not 1 <= seconds <= settings.UPLOAD_TTL_MAX:
        raise InvalidUpload(
            _("An upload can live for 1 to %(most)d seconds, not %(asked)d.")
            % {"most": settings.UPLOAD_TTL_MAX, "asked": seconds}
        )
    return timedelta(seconds=seconds)
