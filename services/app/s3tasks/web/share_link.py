"""The address of an upload that its owner gives to others."""

from django.http import HttpRequest

from uploads.models import State, Upload


def share_link(request: HttpRequest, upload: Upload) -> str | None:
    """The address, on the host that was asked; None where there is nothing to show."""
    if upload.state not in {State.CHECKING, State.READY}:
        return None
    return request.build_absolute_uri(upload.link.get_absolute_url())
