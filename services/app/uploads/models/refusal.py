"""The table of what was said of uploads that are gone."""

from django.db import models


class Refusal(models.Model):
    """What `complete` said of an upload that it discarded, for whoever did not hear it."""

    id = models.UUIDField(primary_key=True, help_text="The upload's.")
    owner = models.UUIDField()
    sentence = models.TextField()
    until = models.DateTimeField(help_text="As long as the upload would have lived.")

    def __str__(self) -> str:
        return self.sentence
