"""Times and names in words."""

import math

from django.conf import settings
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from uploads.limits import has_unshown_characters, size
from uploads.models import Kind, Link

MINUTE, HOUR, DAY = 60, 60 * 60, 24 * 60 * 60
SHOWN_NAME_MAX = 60  # characters


def duration(seconds: int) -> str:
    """The duration in at most two units: `15 minutes`, `1 hour 30 minutes`."""
    units = [
        (seconds // DAY, ngettext("%d day", "%d days", seconds // DAY)),
        (seconds % DAY // HOUR, ngettext("%d hour", "%d hours", seconds % DAY // HOUR)),
        (seconds % HOUR // MINUTE, ngettext("%d minute", "%d minutes", seconds % HOUR // MINUTE)),
        (seconds % MINUTE, ngettext("%d second", "%d seconds", seconds % MINUTE)),
    ]
    return " ".join([text % count for count, text in units if count][:2])


def time_left(seconds: float) -> str:
    """The time left in words, rounded down."""
    whole = max(0, math.floor(seconds))
    return duration(whole) or ngettext("%d second", "%d seconds", 0) % 0


def shown_name(name: str) -> SafeString:
    """A file name that is safe to quote in a message, however long or strange it is.

    It is isolated in `<bdi>`, because a name may be written from right to left and the message is
    not.
    """
    name = "".join("\N{REPLACEMENT CHARACTER}" if has_unshown_characters(c) else c for c in name)
    if len(name) > SHOWN_NAME_MAX:
        name = f"{name[: SHOWN_NAME_MAX // 2]}…{name[-SHOWN_NAME_MAX // 2 :]}"
    return format_html("<bdi>{}</bdi>", name)


def title(link: Link) -> str:
    """What a link, read `with_uploads`, is called: as its one file, or as its owner says."""
    if len(link.live_uploads) == 1:
        return str(link.live_uploads[0].path)
    return link.name or files(link)


def described(link: Link) -> str:
    """What its owner says of a link, where that is not its title."""
    return "" if title(link) == link.name else link.name


def contents(link: Link) -> str:
    """How many files and bytes a link holds."""
    amount = size(link.size_bytes)
    return amount if len(link.live_uploads) == 1 else f"{files(link)}, {amount}"


def protection(link: Link) -> str:
    """How a link is protected: `Password · 2 of 5 downloads`; empty where it is not."""
    parts = [_("Password")] if link.password else []
    if link.max_downloads is not None:
        sentence = _("%(count)d of %(most)d downloads")
        parts.append(sentence % {"count": link.downloads, "most": link.max_downloads})
    return " · ".join(parts)


def files(link: Link) -> str:
    """`3 files`."""
    count = len(link.live_uploads)
    return ngettext("%d file", "%d files", count) % count


def received(kind: Kind, names: list[str], *, superseded: list[str]) -> str:
    """The message about new uploads, and about images that will make room for them."""
    if kind == Kind.FILE:
        if len(names) > 1:
            several = _('{} files were uploaded. <a href="#uploads">Their link is below.</a>')
            return format_html(several, len(names))
        sentence = _('{} was uploaded. <a href="#uploads">Its link is below.</a>')
        return format_html(sentence, shown_name(names[0]))
    text = ngettext("%d image was uploaded.", "%d images were uploaded.", len(names))
    text = text % len(names)
    if not superseded:
        return text
    room = ngettext(
        "Only the newest one is kept: {} makes room for it.",
        "Only the newest %d are kept: {} will make room.",
        settings.IMAGES_KEPT,
    )
    if settings.IMAGES_KEPT > 1:
        room %= settings.IMAGES_KEPT
    shown = format_html_join(", ", "{}", ((shown_name(name),) for name in superseded))
    return format_html("{} " + room, text, shown)


def deleted(name: str) -> str:
    """The message after one upload was deleted."""
    return format_html(_("{} was deleted."), shown_name(name))


def cleared(kind: Kind, count: int) -> str:
    """The message after all uploads of a kind were deleted."""
    if kind == Kind.FILE:
        return ngettext("%d file was deleted.", "%d files were deleted.", count) % count
    return ngettext("%d image was deleted.", "%d images were deleted.", count) % count
