"""One stack for all tests from outside, built and started once by `make up`."""

import shutil
import subprocess
import uuid

import pytest

from stack import Stack, Visitor, copy_tree


def why_no_engine() -> str | None:
    """What keeps containers from running here; None where they can."""
    if not shutil.which("docker"):
        return "no container engine: docker is not installed"
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True)
    if answer.returncode:
        return "no container engine answers `docker info`"
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return "no Docker Compose: `docker compose version` fails"
    return None


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory):
    """The stack, up; its containers and volumes go with the run."""
    if reason := why_no_engine():
        pytest.skip(reason)
    folder = copy_tree(tmp_path_factory.mktemp("stack"))
    stack = Stack(folder, f"s3tasks-test-{uuid.uuid4().hex[:8]}")
    try:
        print(stack.run("make", "up"))  # shown where it fails
        yield stack
    finally:
        stack.run("docker", "compose", "down", "--volumes", check=False)
        images = [f"{stack.project}-{name}" for name in ("app", "flower", "minio-bootstrap")]
        stack.run("docker", "image", "rm", *images, check=False)


@pytest.fixture
def stack(running_stack):
    """The stack, healthy and empty."""
    running_stack.mend()
    running_stack.empty()
    return running_stack


@pytest.fixture
def visitor(stack):
    """Whose uploads a test is about."""
    return Visitor(stack.page)


@pytest.fixture
def stranger(stack):
    """Somebody else."""
    return Visitor(stack.page)
