"""The OpenAPI document against the app: whatever follows it, and whatever does not, gets an answer
that it names. It looks longer with
`EXAMPLES=500 make test ARGS=services/app/tests/api/test_document.py`.
"""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import requests

from api.auth import owner_token

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = os.environ.get("EXAMPLES", "15")  # an operation and phase


@pytest.fixture
def roomy(settings):
    """No quota ends the run."""
    settings.MAX_TOTAL_BYTES = 2**60
    settings.MAX_VISITOR_UPLOADS = 10**6
    settings.DEBUG = False


def test_every_answer_is_one_that_the_document_names(disk, roomy, live_server, tmp_path):
    document = f"{live_server.url}/api/openapi.json"
    assert requests.get(document, timeout=30).status_code == 200
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            document,
            "--checks=all",
            f"--max-examples={EXAMPLES}",
            f"--header=Authorization: Bearer {owner_token(uuid.uuid4())}",
            "--no-color",
            "--seed=1",
        ],
        cwd=tmp_path,  # nothing of a developer's own configuration
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
