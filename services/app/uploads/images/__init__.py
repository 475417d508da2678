"""Uploaded images made safe: decoded, turned upright, stripped of metadata, encoded anew.

Knows nothing of storage, rows or settings.
"""

from uploads.images.formats import HEAD_BYTES, sniff
from uploads.images.safe import THUMBNAIL_TYPE, SafeImage, make_safe

__all__ = ["HEAD_BYTES", "THUMBNAIL_TYPE", "SafeImage", "make_safe", "sniff"]
