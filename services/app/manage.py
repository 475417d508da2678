#!/usr/bin/env python
"""Django's command line, with the settings that SETTINGS_MODULE_PATH names."""

import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    try:
        import s3tasks  # noqa: F401  chooses the settings

        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # Whoever set the variable reads this, and needs no traceback of ours.
        sys.exit(f"{error}")
