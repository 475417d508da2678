"""The tables, each in a module of its own, with its reads."""

from uploads.models.installation import Installation
from uploads.models.moment import Moment
from uploads.models.purge_key import PurgeKey
from uploads.models.refusal import Refusal
from uploads.models.sweep import Sweep
from uploads.models.upload import UNSENT, Kind, State, Upload, UploadQuerySet, new_token

__all__ = [
    "UNSENT",
    "Installation",
    "Kind",
    "Moment",
    "PurgeKey",
    "Refusal",
    "State",
    "Sweep",
    "Upload",
    "UploadQuerySet",
    "new_token",
]
