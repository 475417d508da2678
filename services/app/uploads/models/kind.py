"""The kind of an upload, and of the link to it."""

from django.db import models
from django.utils.translation import gettext_lazy


class Kind(models.TextChoices):
    """The kind of an upload, which decides its page, its limits, its keys and how its link
    opens."""

    IMAGE = "image", gettext_lazy("image")
    FILE = "file", gettext_lazy("file")
