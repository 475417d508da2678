"""What gunicorn serves."""

from django.core.wsgi import get_wsgi_application

import s3tasks  # noqa: F401  chooses the settings

application = get_wsgi_application()
