"""`make dyno`: the app runs under a dyno's rules, and what would not run is named."""

import re
import subprocess
import uuid

import pytest

from stack import copy_tree, why_no_engine, without_decouple_files

PLAN = 20  # connections


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree, and a Compose project of its own; nothing is left of it."""
    if reason := why_no_engine():
        pytest.skip(reason)
    folder = copy_tree(tmp_path_factory.mktemp("dyno"))
    project = f"s3tasks-test-{uuid.uuid4().hex[:8]}"
    yield folder, without_decouple_files(COMPOSE_PROJECT_NAME=project)
    images = [f"{project}-dyno-{name}" for name in ("app", "flower", "minio", "minio-bootstrap")]
    subprocess.run(["docker", "image", "rm", *images], capture_output=True)


def make_dyno(tree) -> tuple[int, str]:
    folder, environment = tree
    done = subprocess.run(
        ["make", "dyno"], cwd=folder, env=environment, text=True, capture_output=True
    )
    return done.returncode, done.stdout + done.stderr


def test_it_boots_serves_fits_and_stops(tree):
    code, said = make_dyno(tree)
    assert code == 0, said
    assert "dyno: this runs on Heroku" in said
    boot = re.search(r"web answered after ([\d.]+) s of 60", said)
    assert float(boot.group(1)) < 60
    counts = re.findall(r"(Redis|Postgres) (\d+) of 20", said)
    assert {name for name, _ in counts} == {"Redis", "Postgres"}
    assert all(0 < int(count) <= PLAN for _, count in counts), said
    memory = re.findall(r"(\w+) (\d+) MiB", said.split("memory at the most: ")[1])
    assert {"web", "worker", "beat"} <= {name for name, mib in memory if 0 < int(mib) < 512}


def test_a_failing_release_stops_the_rest(tree):
    folder, _ = tree
    script = folder / "services/app/bin/release"
    script.write_text(script.read_text().replace("exec python manage.py release", "exit 1"))
    code, said = make_dyno(tree)
    assert code != 0
    assert "would NOT run on Heroku: release failed" in said
    assert "web answered" not in said
