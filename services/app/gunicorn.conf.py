"""gunicorn's logging, in the app's own form; the rest of its options are in bin/web.

gunicorn's access log is off, because it shows paths, which are links and file names. `s3tasks.logs`
logs how each request ended.
"""

from django.conf import settings

import s3tasks  # noqa: F401  chooses the settings

# From whom gunicorn accepts X-Forwarded-Proto and SCRIPT_NAME: by default, from anybody on this
# machine. Here TRUSTED_PROXIES and s3tasks.web.proxies decide that instead.
forwarded_allow_ips = ""

logconfig_dict = settings.LOGGING
