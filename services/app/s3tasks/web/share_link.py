"""The address that an owner gives to others."""

from django.http import HttpRequest

from uploads.models import Link, State, Upload

SHOWN = {State.CHECKING, State.READY}


def address_of(request: HttpRequest, link: Link) -> str:
    """The link's address, on the host that was asked."""
    return request.build_absolute_uri(link.get_absolute_url())


def share_link(request: HttpRequest, upload: Upload) -> str | None:
    """The address of the upload's link; None where there is nothing to show."""
    return address_of(request, upload.link) if upload.state in SHOWN else None
