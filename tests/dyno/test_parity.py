"""What compose and `make local` run is what heroku.yml deploys."""

import shutil

import pytest

from tests.support import ROOT
from tests.support.parity import differences

FILES = (
    "heroku.yml",
    "docker-compose.yml",
    "docker-compose.prod.yml",
    "local/Procfile",
    ".env.var",
    "services/app/Dockerfile",
    "services/flower/Dockerfile",
    "services/flower/heroku.yml",
)


@pytest.fixture
def copy(tmp_path):
    """A copy of the files that are compared."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    for name in ("compose", "services/app/bin"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_nothing_differs():
    assert differences(ROOT) == []


def test_nothing_differs_in_the_copy(copy):
    assert differences(copy) == []


CHANGES = [
    # A command, in each of the three places alone.
    ("heroku.yml", "web: bin/web", "web: bin/beat", "web is `bin/web` in docker-compose.yml"),
    ("heroku.yml", "- bin/worker", "- bin/worker -v", "`bin/worker -v` in heroku.yml"),
    ("heroku.yml", "- bin/release", "- bin/web", "release is `bin/release` in docker-compose.yml"),
    ("docker-compose.yml", "command: bin/beat", "command: bin/web", "beat is `bin/web` in docker-"),
    ("docker-compose.yml", "command: bin/worker", "init: true", "worker is `None` in docker-comp"),
    ("local/Procfile", "exec bin/worker", "bin/worker", "`cd services/app && bin/worker` in local"),
    ("local/Procfile", "beat: cd", "clock: cd", "process type beat, local/Procfile does not"),
    # A process type on one side only.
    ("heroku.yml", "run:\n", "run:\n  cron: bin/web\n", "cron, docker-compose.yml does not"),
    ("docker-compose.yml", "  beat:\n", "  clock:\n", "the app's image as clock, heroku.yml does"),
    # Builds and variables.
    ("docker-compose.yml", "build: services/app", "build: .", "folder of the Dockerfile"),
    ("heroku.yml", "image: web", "image: worker", "heroku.yml does not build"),
    ("heroku.yml", "    TRUSTED_PROXIES", "    TRUSTED_PROXY", "TRUSTED_PROXY, which .env.var"),
    ("heroku.yml", "  config:\n", '  config:\n    RELOAD: "1"\n', "sets RELOAD, which is for one"),
    ("heroku.yml", "heroku-redis:mini", "openredis:micro", "no add-on heroku-redis"),
    (
        "docker-compose.yml",
        "command: bin/worker\n",
        "command: bin/worker\n    environment: {PORT: '1'}\n",
        "release gets DATABASE_URL and worker does not",
    ),
    (
        "compose/dyno/dyno.yml",
        "production",
        "development",
        "another SETTINGS_MODULE_PATH than heroku",
    ),
    (
        "compose/dyno/dyno.yml",
        "  DYNO: any.1",
        '  RELOAD: "1"',
        "RELOAD, which Heroku does not set",
    ),
    ("compose/dyno/dyno.yml", "    volumes: !reset []\n", "", "does not reset volumes"),
    (
        "compose/dyno/dyno.yml",
        "  beat:\n",
        "  beat:\n    command: bin/web\n",
        "`bin/web` in compose/dyno/dyno.yml",
    ),
    (
        "docker-compose.prod.yml",
        "  worker:\n",
        "  worker:\n    command: bin/web\n",
        "worker is `bin/web` in docker-compose.prod.yml",
    ),
    ("docker-compose.prod.yml", "settings.production", "settings.development", "SETTINGS_MODULE"),
    ("docker-compose.prod.yml", 'RELOAD: ""', 'RELOAD: "1"', "does not get RELOAD="),
    ("docker-compose.prod.yml", "env_file: !override [.env.production]", "", "another env file"),
    ("docker-compose.prod.yml", "media:/srv/media", "./services/app:/srv/app", "checkout"),
    ("docker-compose.prod.yml", "    ports: !reset []\n", "", "web is published"),
    # heroku.yml in another shape than the documented one.
    ("heroku.yml", '"1"', "1", "TRUSTED_PROXIES must be a string"),
    ("heroku.yml", "release:\n", "releases:\n", "releases, which Heroku does not know"),
    ("heroku.yml", "    - plan:", "    - name:", "name, which Heroku does not know"),
    # The image.
    ("services/app/Dockerfile", "USER 1000:1000", "USER 0", "as root"),
    ("services/app/Dockerfile", 'CMD ["bin/web"]', "", "no CMD"),
    ("services/app/Dockerfile", 'CMD ["bin/web"]', 'CMD ["bin/beat"]', "ends with CMD"),
    ("services/app/Dockerfile", "recommends curl", "recommends wget", "does not install curl"),
    (
        "services/app/Dockerfile",
        "RUN pip",
        "RUN --mount=type=cache,target=/c pip",
        "has RUN --mount",
    ),
    ("services/app/Dockerfile", "COPY --from", "COPY --link --from", "has COPY --link"),
    ("services/app/Dockerfile", "RUN pip", "RUN <<EOF\npip", "has RUN <<E"),
    # Flower's own app.
    ("services/flower/heroku.yml", "bin/flower", "bin/web", "`bin/web` in services/flower/heroku"),
    ("services/flower/heroku.yml", "run:", "runs:", "runs, which Heroku does not know"),
    (
        "services/flower/Dockerfile",
        "RUN pip",
        "RUN --mount=type=cache,target=/c pip",
        "RUN --mount",
    ),
    ("docker-compose.yml", "bin/alive, beat", "bin/alive, worker", "beat is asked by"),
    ("docker-compose.yml", "[CMD, bin/alive, worker]", "find /tmp", "worker is asked by find"),
    ("services/app/bin/beat", 'exec "$@"', '"$@"', "does not end with exec"),
]


@pytest.mark.parametrize("change", [lambda f: f.unlink(), lambda f: f.chmod(0o644)])
def test_an_image_that_cannot_say_whether_it_is_well_is_named(copy, change):
    change(copy / "services/app/bin/alive")
    assert differences(copy) == ["bin/alive is not an executable of the app's image"]


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"), CHANGES, ids=[f"{c[0]}: {c[2].strip()}" for c in CHANGES]
)
def test_a_change_in_one_place_alone_is_named(copy, file, old, new, sentence):
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    found = differences(copy)
    assert any(sentence in difference for difference in found), found
