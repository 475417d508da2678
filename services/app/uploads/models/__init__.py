"""The tables, each in a module of its own, with its reads."""

from uploads.models.installation import Installation
from uploads.models.kind import Kind
from uploads.models.link import GUESSES_MAX, GUESSES_TIME, Link, LinkQuerySet, new_token
from uploads.models.moment import Moment
from uploads.models.pack import Pack, PackQuerySet
from uploads.models.purge_key import PurgeKey
from uploads.models.refusal import Refusal
from uploads.models.sweep import Sweep
from uploads.models.upload import UNSENT, State, Upload, UploadQuerySet

__all__ = [
    "GUESSES_MAX",
    "GUESSES_TIME",
    "UNSENT",
    "Installation",
    "Kind",
    "Link",
    "LinkQuerySet",
    "Moment",
    "Pack",
    "PackQuerySet",
    "PurgeKey",
    "Refusal",
    "State",
    "Sweep",
    "Upload",
    "UploadQuerySet",
    "new_token",
]
