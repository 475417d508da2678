"""Local is Heroku: heroku.yml against the compose files, local/Procfile and the image.

`differences` returns sentences, each of which names what differs; none means parity. Files are read
as they are: no engine is asked.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# What the add-ons set; the rest of what production wants comes by `heroku config:set`.
ADDONS = {"heroku-postgresql": "DATABASE_URL", "heroku-redis": "REDIS_URL"}
# Of one machine, or of a developer: never a dyno's.
LOCAL = re.compile(
    r"RELOAD|DEBUG|PORT|\w+_PORT|MINIO_\w+|POSTGRES_PASSWORD|REDIS_PASSWORD|SITE_ADDRESS"
)

# The system's or the platform's, wherever it runs.
SYSTEMS = {"PORT", "TMPDIR", "NO_PROXY", "no_proxy"}

# https://devcenter.heroku.com/articles/build-docker-images-heroku-yml: a word is a string; a list
# holds what its one element says; `?` ends a key that may be missing, `*` stands for any name.
COMMAND = (str, [str])
SHAPE = {
    "setup?": {"addons?": [{"plan": str, "as?": str}], "config?": {"*": str}},
    "build": {"docker": {"*": (str, {"dockerfile": str, "target?": str})}, "config?": {"*": str}},
    "release?": {"command": COMMAND, "image?": str},
    "run?": {"*": (str, {"command": COMMAND, "image?": str})},
}

# What needs BuildKit: Heroku builds with Docker's older builder
# (https://github.com/rootstrap/rails_api_base/issues/1271, December 2025).
BUILDKIT = re.compile(
    r"(?m)^(?:RUN|COPY|ADD) +--(?:mount|network|security|link|chmod|parents|exclude)\b"
    r"|^(?:RUN|COPY) .*<<-?['\"]?[A-Z]"
)


def misshapen(value: Any, shape: Any, where: str) -> Iterator[str]:
    """What Heroku would not understand."""
    if isinstance(shape, tuple):
        if all(list(misshapen(value, each, where)) for each in shape):
            yield from misshapen(value, shape[type(value) in (dict, list)], where)
    elif isinstance(shape, list):
        if not isinstance(value, list) or not value:
            yield f"{where} must be a list"
        else:
            for each in value:
                yield from misshapen(each, shape[0], where)
    elif isinstance(shape, dict):
        if not isinstance(value, dict) or not value:
            yield f"{where} must hold names with values"
            return
        keys = {key.rstrip("?"): each for key, each in shape.items()}
        for key, each in value.items():
            if key in keys or "*" in keys:
                yield from misshapen(each, keys.get(key, keys.get("*")), f"{where} {key}")
            else:
                yield f"{where} has {key}, which Heroku does not know"
        for key in shape:
            if not key.endswith(("?", "*")) and key not in value:
                yield f"{where} lacks {key}"
    elif not isinstance(value, str) or not value:
        yield f"{where} must be a string in heroku.yml, not {value!r}"


def command(value: Any) -> str | None:
    """A command in one form, whichever way a file spells it; None where it has none."""
    if isinstance(value, dict):
        value = value["command"]
    if isinstance(value, list):
        # Heroku joins a list's entries into one line; Compose's are words.
        value = " ".join(value)
    return shlex.join(shlex.split(value)) if value else None


class Loader(yaml.SafeLoader):
    """Compose's YAML: it has tags of its own, such as !reset and !override."""


def tagged(loader: Loader, _: str, node: yaml.Node) -> Any:
    """What stands behind a tag."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) or None  # type: ignore[arg-type]


Loader.add_multi_constructor("!", tagged)


class Tree:
    """The files of one checkout, read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heroku = yaml.safe_load((root / "heroku.yml").read_text())
        self.compose = self.services("docker-compose.yml")
        self.procfile = dict(
            line.split(": ", 1) for line in (root / "local/Procfile").read_text().splitlines()
        )
        self.variables = set(re.findall(r"(?m)^([A-Z0-9_]+)=", (root / ".env.var").read_text()))

    def services(self, name: str) -> dict[str, Any]:
        """A compose file's services."""
        return yaml.load((self.root / name).read_text(), Loader)["services"]  # noqa: S506  safe

    @property
    def commands(self) -> dict[str, str | None]:
        """Each process type's command on Heroku, release among them."""
        types = {"release": self.heroku["release"], **self.heroku["run"]}
        return {name: command(value) for name, value in types.items()}

    def built(self, value: Any) -> Path:
        """The Dockerfile of one of heroku.yml's builds."""
        return self.root / (value if isinstance(value, str) else value["dockerfile"])


def differences(root: Path) -> list[str]:
    """Everything in which the ways of running differ, each in a sentence; none: parity."""
    heroku = yaml.safe_load((root / "heroku.yml").read_text())
    if found := list(misshapen(heroku, SHAPE, "heroku.yml")):
        return found
    tree = Tree(root)
    return [
        *images(tree),
        *compose_commands(tree),
        *procfile_commands(tree),
        *entry_scripts(tree),
        *health(tree),
        *variables(tree),
        *dyno(tree),
        *server(tree),
        *app_image(tree),
        *flower(tree),
    ]


def images(tree: Tree) -> Iterator[str]:
    """One build serves every process type, and both sides build it from the same folder."""
    builds = tree.heroku["build"]["docker"]
    for name, value in {"release": tree.heroku["release"], **tree.heroku["run"]}.items():
        image = value.get("image", name) if isinstance(value, dict) else name
        if image not in builds:
            yield f"heroku.yml: {name} runs the image {image}, which heroku.yml does not build"
    for name, value in builds.items():
        path = tree.built(value)
        if not path.is_file():
            yield f"heroku.yml: {name} is built by {path.relative_to(tree.root)}, which is missing"
    contexts = {str(tree.built(value).parent.relative_to(tree.root)) for value in builds.values()}
    release = tree.compose.get("release", {})
    build = release.get("build", ".")
    context = build if isinstance(build, str) else build.get("context", ".")
    if contexts != {str(Path(context))}:
        yield (
            f"docker-compose.yml builds the app in {context}, heroku.yml in"
            f" {', '.join(sorted(contexts))}: Heroku's context is the folder of the Dockerfile"
        )
    for name in tree.commands:
        if tree.compose.get(name, release).get("image") != release.get("image"):
            yield f"docker-compose.yml: {name} runs another image than release"


def compose_commands(tree: Tree) -> Iterator[str]:
    """Every process type is a service with the same command, in each compose file."""
    files = ["docker-compose.yml", "docker-compose.prod.yml", "compose/dyno/dyno.yml"]
    for file in files:
        if not (tree.root / file).exists():
            continue
        services = tree.services(file)
        for name, wanted in tree.commands.items():
            service = services.get(name)
            if service is None and file == files[0]:
                yield f"heroku.yml has the process type {name}, docker-compose.yml does not"
            elif service and (file == files[0] or "command" in service):
                if "entrypoint" in service:
                    yield f"{file}: {name} has an entrypoint, which Heroku knows nothing of"
                if command(service.get("command")) != wanted:
                    yield (
                        f"{name} is `{command(service.get('command'))}` in {file} and"
                        f" `{wanted}` in heroku.yml"
                    )
    app = tree.compose.get("release", {}).get("image")
    for name, service in tree.compose.items():
        if service.get("image") == app and name not in tree.commands:
            yield f"docker-compose.yml runs the app's image as {name}, heroku.yml does not"


def procfile_commands(tree: Tree) -> Iterator[str]:
    """Every process type is in the Procfile, in the image's folder; Flower is beside them."""
    folder = tree.built(tree.heroku["build"]["docker"]["web"]).parent.relative_to(tree.root)
    for name, wanted in tree.commands.items():
        line = tree.procfile.get(name)
        if line is None:
            yield f"heroku.yml has the process type {name}, local/Procfile does not"
        elif line != f"cd {folder} && exec {wanted}":
            yield (
                f"{name} is `{line}` in local/Procfile and `{wanted}` in heroku.yml,"
                f" which is `cd {folder} && exec {wanted}` there"
            )
    for name in tree.procfile.keys() - tree.commands.keys() - tree.compose.keys():
        yield f"local/Procfile has the process {name}, which neither Heroku nor Compose runs"


def entry_scripts(tree: Tree) -> Iterator[str]:
    """A command is one script of the image, which ends by becoming its process."""
    folder = tree.built(tree.heroku["build"]["docker"]["web"]).parent
    for name, line in tree.commands.items():
        script = folder / str(line)
        if not script.is_file() or not script.stat().st_mode & 0o111:
            yield f"{name}: `{line}` is not an executable in {folder.relative_to(tree.root)}"
        elif not script.read_text().rstrip().splitlines()[-1].startswith("exec "):
            yield f"{name}: {line} does not end with exec, so that signals reach a shell instead"


def health(tree: Tree) -> Iterator[str]:
    """The worker and beat are asked by the image's own `bin/alive`, which every file leaves so."""
    for file in ("docker-compose.yml", "docker-compose.prod.yml"):
        services = tree.services(file)
        for name in ("worker", "beat"):
            found = services.get(name, {}).get("healthcheck", {}).get("test")
            wanted = ["CMD", "bin/alive", name] if file == "docker-compose.yml" else None
            if found != wanted:
                yield f"{file}: {name} is asked by {found} whether it is well, not by bin/alive"
    script = tree.built(tree.heroku["build"]["docker"]["web"]).parent / "bin/alive"
    if not script.is_file() or not script.stat().st_mode & 0o111:
        yield "bin/alive is not an executable of the app's image"


def variables(tree: Tree) -> Iterator[str]:
    """Every process type gets the same variables, as all dynos of an app do, and known ones."""
    setup = tree.heroku.get("setup", {})
    config = setup.get("config", {})
    plans = [addon["plan"].partition(":")[0] for addon in setup.get("addons", [])]
    for addon in plans:
        if addon not in ADDONS:
            yield f"heroku.yml: nothing here reads what the add-on {addon} sets"
    for addon, name in ADDONS.items():
        if addon not in plans:
            yield f"heroku.yml has no add-on {addon}, so that {name} is missing there"
    for name in config:
        if name not in tree.variables:
            yield f"heroku.yml sets {name}, which .env.var does not explain"
        if LOCAL.fullmatch(name):
            yield f"heroku.yml sets {name}, which is for one machine"
    first = service_variables(tree.compose["release"])
    for name in tree.commands.keys() & tree.compose.keys():
        service = service_variables(tree.compose[name])
        for variable in sorted(first ^ service):
            with_it, without = ("release", name) if variable in first else (name, "release")
            yield (
                f"docker-compose.yml: {with_it} gets {variable} and {without} does not;"
                " on Heroku all process types get the same"
            )
    for variable in sorted({*first, *ADDONS.values()} - {".env"} - SYSTEMS):
        if variable not in tree.variables:
            yield f"docker-compose.yml sets {variable}, which .env.var does not explain"
    for variable in [*ADDONS.values(), "PORT"]:
        if variable not in first:
            yield f"{variable} is set on Heroku, and docker-compose.yml does not set it"
    if ".env" not in first:
        yield "docker-compose.yml: release does not get .env, which stands for Heroku's config"


def dyno(tree: Tree) -> Iterator[str]:
    """The overlay gives all process types what heroku.yml says, and nothing of this machine."""
    file = "compose/dyno/dyno.yml"
    services = tree.services(file)
    config = tree.heroku.get("setup", {}).get("config", {})
    # Heroku's own, and the engine's.
    known = tree.variables | {"DYNO", "TINI_KILL_PROCESS_GROUP"} | SYSTEMS
    for name in tree.commands:
        service = services.get(name, {})
        environment = service.get("environment", {})
        if environment != services["release"]["environment"]:
            yield f"{file}: {name} gets other variables than release"
        for variable, value in config.items():
            if environment.get(variable) != value:
                yield f"{file}: {name} gets another {variable} than heroku.yml sets, {value}"
        for variable in environment:
            if variable not in known or (LOCAL.fullmatch(variable) and variable != "PORT"):
                yield f"{file}: {name} gets {variable}, which Heroku does not set"
        for key in ("env_file", "volumes"):
            if service.get(key, True):
                yield f"{file}: {name} does not reset {key}, so that something of here comes in"


def server(tree: Tree) -> Iterator[str]:
    """The overlay for one server gives all process types the same, and nothing of a developer."""
    file = "docker-compose.prod.yml"
    services = tree.services(file)
    config = tree.heroku.get("setup", {}).get("config", {})
    for name in tree.commands:
        service = services.get(name, {})
        environment = service.get("environment", {})
        if environment != services["release"]["environment"]:
            yield f"{file}: {name} gets other variables than release"
        for variable in environment.keys() - tree.variables - SYSTEMS:
            yield f"{file} sets {variable}, which .env.var does not explain"
        for variable, value in {**config, "RELOAD": "", "DEBUG": ""}.items():
            if environment.get(variable) != value:
                yield f"{file}: {name} does not get {variable}={value}, as Heroku's dynos do"
        if service.get("env_file") != [".env.production"]:
            yield f"{file}: {name} gets another env file than .env.production"
        if any(volume.startswith(".") for volume in service.get("volumes", ["."])):
            yield f"{file}: {name} mounts something of the checkout"
        if service.get("ports", True) and tree.compose.get(name, {}).get("ports"):
            yield f"{file}: {name} is published, and only Caddy should be"


def service_variables(service: dict[str, Any]) -> set[str]:
    """The names that a service's environment sets, and the env files it gets."""
    environment, files = service.get("environment", {}), service.get("env_file", [])
    names = environment if isinstance(environment, dict) else [e.split("=")[0] for e in environment]
    return {*names, *([files] if isinstance(files, str) else files)}


def flower(tree: Tree) -> Iterator[str]:
    """Flower's own app: its folder is the root of what is pushed, its `web` the process here."""
    folder = tree.root / "services/flower"
    heroku = yaml.safe_load((folder / "heroku.yml").read_text())
    if found := list(misshapen(heroku, SHAPE, "services/flower/heroku.yml")):
        yield from found
        return
    web = command(heroku["run"].get("web"))
    path = folder / heroku["build"]["docker"]["web"]
    if tree.procfile.get("flower") != f"exec services/flower/{web}":
        yield (
            f"flower is `{tree.procfile.get('flower')}` in local/Procfile and `{web}` in"
            " services/flower/heroku.yml"
        )
    yield from dockerfile(tree, path, web)


def app_image(tree: Tree) -> Iterator[str]:
    """The app's Dockerfile; with curl, as it has a release."""
    path = tree.built(tree.heroku["build"]["docker"]["web"])
    yield from dockerfile(tree, path, tree.commands.get("web"))
    if not re.search(r"install\b[^&]*\bcurl\b", re.split(r"(?m)^FROM ", path.read_text())[-1]):
        yield (
            f"{path.relative_to(tree.root)} does not install curl:"
            " Heroku's release log is lost without it"
        )


def dockerfile(tree: Tree, path: Path, web: str | None) -> Iterator[str]:
    """What Heroku asks of an image: a CMD, no root, and nothing that its builder does not know."""
    name = path.relative_to(tree.root)
    text = re.sub(r"(?m)^#.*\n", "", path.read_text()).replace("\\\n", " ")
    if found := BUILDKIT.search(text):
        yield f"{name} has {found.group().strip()}, for which Heroku's builder is too old"
    stage = re.split(r"(?m)^FROM ", text)[-1]
    lines = [line.split(None, 1) for line in stage.splitlines()[1:] if line.strip()]
    users = [rest for word, rest in lines if word == "USER"]
    if not users or re.match(r"(0|root)(:|$)", users[-1]):
        yield f"{name} ends as root: Heroku runs no image as root"
    commands = [rest for word, rest in lines if word == "CMD"]
    if not commands:
        yield f"{name} has no CMD: Heroku refuses the image"
    elif command(yaml.safe_load(commands[-1])) != web:
        yield f"{name} ends with CMD {commands[-1]}, web is `{web}` in heroku.yml"
    for word in ("ENTRYPOINT", "SHELL", "VOLUME", "HEALTHCHECK"):
        if any(line[0] == word for line in lines):
            yield f"{name} has {word}, which Heroku does not respect"
