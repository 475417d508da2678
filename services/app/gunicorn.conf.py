"""What gunicorn says, it says as the app does; the rest of its options is in bin/web.

Its access log is off: it names paths, and those are links and files' names. `s3tasks.logs` says how
each request ended.
"""

from django.conf import settings

import s3tasks  # noqa: F401  chooses the settings

# Whose X-Forwarded-Proto, or SCRIPT_NAME, it believes: by default everybody's on this
# machine. TRUSTED_PROXIES decides, and s3tasks.web.proxies.
forwarded_allow_ips = ""

logconfig_dict = settings.LOGGING
