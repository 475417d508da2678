"""What gunicorn serves."""

from django.core.wsgi import get_wsgi_application

import s3tasks  # noqa: F401  chooses the settings
from s3tasks.web.request_head import Utf8Only

application = Utf8Only(get_wsgi_application())
