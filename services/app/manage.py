#!/usr/bin/env python
"""Django's command line, with the settings that SETTINGS_MODULE_PATH names."""

import sys

from django.core.management import execute_from_command_line

import s3tasks  # noqa: F401  chooses the settings

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
