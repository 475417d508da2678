"""The table of refusals: why an upload was discarded when its client completed it."""

from django.db import models


class Refusal(models.Model):
    """The sentence with which `complete` discarded an upload, for a client that didn't get the
    answer."""

    id = models.UUIDField(primary_key=True, help_text="The upload's id.")
    owner = models.UUIDField()
    sentence = models.TextField()
    until = models.DateTimeField(help_text="When the upload would have expired.")

    def __str__(self) -> str:
        return self.sentence
