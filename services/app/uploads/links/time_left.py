"""The time that links have left, for open pages that ask every few seconds: one query, of links
only."""

import uuid

from uploads.models import Kind, Link


def time_left_of(owner: uuid.UUID) -> dict[str, float | None]:
    """The seconds that each of the owner's links has left, by its id."""
    links = Link.objects.live().with_seconds_left().filter(owner=owner)
    return {str(link.id): link.seconds_left for link in links.only("id")}


def time_left(*, token: str, kind: Kind) -> dict[str, float | None]:
    """The seconds that the link has left, by its token; nothing if it is expired or unknown."""
    links = Link.objects.live().with_seconds_left().filter(token=token, kind=kind)
    return {link.token: link.seconds_left for link in links.only("token")}
