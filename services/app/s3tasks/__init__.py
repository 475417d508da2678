"""The project: settings, URLs, and the Celery application.

Whatever imports this package first (manage.py, gunicorn, celery) thereby chooses the settings.
"""

import os

from django.core.exceptions import ImproperlyConfigured

from s3tasks.settings import env

# No SETTINGS_MODULE_PATH means production: a server that somebody forgot to configure must refuse
# to start without its secrets rather than run with a developer's.
MODULES = ("s3tasks.settings.production", "s3tasks.settings.development")
_module = env.text("SETTINGS_MODULE_PATH", MODULES[0])
if _module not in MODULES:
    raise ImproperlyConfigured(f"SETTINGS_MODULE_PATH={_module}: expected {' or '.join(MODULES)}")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", _module)

from s3tasks.celery import app as celery_app  # noqa: E402  after the settings are chosen

__all__ = ["celery_app"]
