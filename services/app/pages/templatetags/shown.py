"""What a page shows of an upload."""

from django import template
from django.template import Context

from pages import wording
from pages.icons import icon
from uploads import limits
from uploads.links.follow import thumbnail_urls
from uploads.models import Upload

register = template.Library()
register.filter(wording.duration)
register.filter(wording.time_left)
register.filter(limits.size)
register.filter(icon)


@register.filter
def thumbnail_url(upload: Upload) -> str | None:
    """Where the browser gets the small picture; None in the upload's last second."""
    return thumbnail_urls().thumbnail_url(upload)


@register.simple_tag(takes_context=True)
def share_link(context: Context, upload: Upload) -> str:
    """The address to give to others."""
    address: str = context["request"].build_absolute_uri(upload.link.get_absolute_url())
    return address
