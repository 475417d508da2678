"""What an upload is, and so the link to it."""

from django.db import models
from django.utils.translation import gettext_lazy


class Kind(models.TextChoices):
    """What an upload is; it decides the page, the limits the keys, and what its link leads to."""

    IMAGE = "image", gettext_lazy("image")
    FILE = "file", gettext_lazy("file")
