"""What Compose makes of a file, without an engine."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest


def compose(file: Path) -> dict[str, str]:
    """What a container gets from the file by `env_file`."""
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"]).returncode:
        pytest.skip("docker's client with Compose is not installed")
    project = file.parent / "compose.yml"
    project.write_text(f"services: {{it: {{image: it, env_file: {file}}}}}\n")
    command = ["docker", "compose", "-f", str(project), "config", "--format", "json"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(text)["services"]["it"]["environment"]
