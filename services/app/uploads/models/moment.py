"""The type of `now` in every read."""

from datetime import datetime

from django.db.models.expressions import Combinable

# An expression that Postgres evaluates (its clock is the clock), or a test's fixed time.
Moment = datetime | Combinable
