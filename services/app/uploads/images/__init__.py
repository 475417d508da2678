"""Uploaded images made safe: decoded, turned upright, stripped of metadata, encoded anew.

Knows nothing of storage, rows or settings.
"""

from uploads.images.formats import DRAWN_TYPES, HEAD_BYTES, IMAGE_TYPES, sniff
from uploads.images.safe import THUMBNAIL_TYPE, SafeImage, make_safe

__all__ = [
    "DRAWN_TYPES",
    "HEAD_BYTES",
    "IMAGE_TYPES",
    "THUMBNAIL_TYPE",
    "SafeImage",
    "make_safe",
    "sniff",
]
