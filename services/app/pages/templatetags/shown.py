"""Template tags and filters for an upload."""

from django import template
from django.template import Context

from pages import wording
from pages.icons import icon
from s3tasks.web.share_link import share_link
from uploads import limits
from uploads.links.follow import thumbnail_urls
from uploads.models import Upload

register = template.Library()
register.filter(wording.duration)
register.filter(wording.time_left)
register.filter(wording.title)
register.filter(wording.described)
register.filter(wording.contents)
register.filter(wording.protection)
register.filter(limits.size)
register.filter(icon)


@register.filter
def thumbnail_url(upload: Upload) -> str | None:
    """The address of the thumbnail; None in the upload's last second."""
    return thumbnail_urls().thumbnail_url(upload)


@register.simple_tag(takes_context=True, name="share_link")
def share_link_tag(context: Context, upload: Upload) -> str | None:
    return share_link(context["request"], upload)
