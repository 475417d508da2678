"""The project: settings, URLs, and the Celery application.

Whatever imports this package first (manage.py, gunicorn, celery) thereby chooses the settings.
"""

import os

from decouple import config

# No SETTINGS_MODULE_PATH means production: a server that somebody forgot to configure must refuse
# to start without its secrets rather than run with a developer's.
os.environ.setdefault(
    "DJANGO_SETTINGS_MODULE", config("SETTINGS_MODULE_PATH", "") or "s3tasks.settings.production"
)

from s3tasks.celery import app as celery_app  # noqa: E402  after the settings are chosen

__all__ = ["celery_app"]
