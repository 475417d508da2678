"""A stand-in for Heroku and its command line: `python heroku_cli.py FOLDER command …`.

It knows the commands that `make deploy` runs, with the arguments and flags that Heroku's own CLI
documents, and refuses all others. What was called, what was refused and what then is stands in the
folder: `calls`, a list of words in JSON a line, and `state.json`. Apps take pushes: `git/NAME.git`.

COMMANDS was derived from oclif.manifest.json of npm's package `heroku` 11.10.0, without what is
hidden there; what the commands print, from that package's dist/commands.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

# A command's arguments (`?`: may be missing, `*`: as many as you like) and its flags, each with its
# letter (`=`: takes a value, `!`: must be there).
COMMANDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "auth:whoami": ([], {}),
    "apps:info": ([], {"app": "a=", "json": "j", "remote": "r=", "shell": "s"}),
    "apps:create": (
        ["app?"],
        {
            "addons": "=",
            "buildpack": "b=",
            "json": "",
            "no-remote": "n",
            "region": "=",
            "remote": "r=",
            "space": "=",
            "stack": "s=",
            "team": "t=",
        },
    ),
    "apps:stacks:set": (["stack"], {"app": "a=!", "remote": "r="}),
    "addons": ([], {"all": "A", "app": "a=", "json": "", "no-wrap": "", "remote": "r="}),
    "addons:create": (
        ["service:plan", "*"],
        {"app": "a=!", "as": "=", "confirm": "=", "name": "=", "remote": "r=", "wait": ""},
    ),
    "addons:wait": (["addon?"], {"app": "a=", "remote": "r=", "wait-interval": "="}),
    "addons:attach": (
        ["addon_name"],
        {"app": "a=!", "as": "=", "confirm": "=", "credential": "=", "remote": "r="},
    ),
    "config": ([], {"app": "a=!", "json": "j", "remote": "r=", "shell": "s"}),
    "config:set": (["*"], {"app": "a=!", "remote": "r="}),
    "domains": (
        [],
        {
            "app": "a=!",
            "columns": "=",
            "csv": "c",
            "extended": "x",
            "filter": "=",
            "json": "j",
            "no-wrap": "",
            "remote": "r=",
            "sort": "=",
        },
    ),
    "releases:info": (["release?"], {"app": "a=!", "json": "", "remote": "r=", "shell": "s"}),
    "ps:scale": (["*"], {"app": "a=!", "remote": "r="}),
}
# Heroku's plans that heroku.yml may name, with what an add-on is attached as.
PLANS = {"heroku-postgresql:essential-0": "DATABASE", "heroku-redis:mini": "REDIS"}


def fail(message: str, code: int = 1) -> NoReturn:
    print(f" ›   Error: {message}", file=sys.stderr)
    sys.exit(code)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def parse(command: str, words: list[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments and flags of a call; ends the program for what the CLI does not document."""
    if command not in COMMANDS:
        fail(f"{command} is not a heroku command.", 127)
    allowed, kinds = COMMANDS[command]
    letters = {kind[0]: name for name, kind in kinds.items() if kind[:1].isalpha()}
    arguments: list[str] = []
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            arguments.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            name = letters.get(name, "")
        if name not in kinds or (equals and "=" not in kinds[name]):
            fail(f"Nonexistent flag: {word}", 2)
        if "=" in kinds[name] and not equals:
            if not rest:
                fail(f"Flag --{name} expects a value", 2)
            value = rest.pop(0)
        flags[name] = value or "true"
    for name, kind in kinds.items():
        if "!" in kind and name not in flags:
            fail(f"Missing required flag {name}", 2)
    needed = [name for name in allowed if not name.endswith(("?", "*"))]
    if len(arguments) < len(needed):
        fail(f"Missing {len(needed) - len(arguments)} required arg: {needed[-1]}", 2)
    if "*" not in allowed and len(arguments) > len(allowed):
        fail(f"Unexpected argument: {arguments[len(allowed)]}", 2)
    return arguments, flags


class Heroku:
    """The account: its apps with their config, add-ons, releases and dynos."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / "state.json"
        self.state: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        self.apps = self.state.setdefault("apps", {})
        self.addons = self.state.setdefault("addons", {})

    def save(self) -> None:
        (self.folder / "state.json").write_text(json.dumps(self.state, indent=1))

    def app(self, name: str) -> dict[str, Any]:
        if name in self.state.get("of_others", []):
            fail(f"You do not have access to the app {name}.\n\n ›   Error ID: forbidden")
        if name not in self.apps:
            fail("Couldn't find that app.\n ›\n ›   Error ID: not_found")
        return self.apps[name]

    def release(self, name: str, description: str, status: str = "succeeded") -> dict[str, Any]:
        releases = self.app(name)["releases"]
        releases.append(
            {"version": len(releases) + 1, "description": description, "status": status}
        )
        return releases[-1]

    # --- Commands ---

    def auth_whoami(self, _: list[str], __: dict[str, str]) -> None:
        if self.state.get("logged_out"):
            fail("not logged in", 100)
        print("operator@example.com")

    def apps_info(self, _: list[str], flags: dict[str, str]) -> None:
        name, stack = flags["app"], {"name": self.app(flags["app"])["stack"]}
        web_url = f"https://{self.host(name)}/"
        app = {"name": name, "stack": stack, "build_stack": stack, "web_url": web_url}
        print(json.dumps({"addons": [], "app": app, "collaborators": [], "dynos": []}))

    def apps_create(self, arguments: list[str], flags: dict[str, str]) -> None:
        (name,) = arguments
        if name in self.apps or name in self.state.get("of_others", []):
            fail(f"Name {name} is already taken\n ›\n ›   Error ID: invalid_params")
        stack = flags.get("stack", "heroku-24")
        self.apps[name] = {"stack": stack, "config": {}, "releases": [], "dynos": {}}
        self.release(name, "Initial release")
        bare = self.folder / "git" / f"{name}.git"
        git("init", "--quiet", "--bare", str(bare))
        hook = bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        command = f'"{sys.executable}" "{Path(__file__).resolve()}" "{self.folder}"'
        hook.write_text(f"#!/bin/sh\nexec {command} received {name}\n")
        hook.chmod(0o755)
        print(f"https://{self.host(name)}/ | https://git.heroku.com/{name}.git")

    def host(self, name: str) -> str:
        return f"{name}-0123456789ab.herokuapp.com"

    def apps_stacks_set(self, arguments: list[str], flags: dict[str, str]) -> None:
        self.app(flags["app"])["stack"] = arguments[0]

    def addons_(self, _: list[str], flags: dict[str, str]) -> None:
        found = []
        for name, addon in self.addons.items():
            attached = [{"app": {"name": a}, "name": n} for a, n in addon["attachments"]]
            if flags["app"] in [addon["app"], *(each["app"]["name"] for each in attached)]:
                service = {"name": addon["plan"].partition(":")[0]}
                own = addon["app"] == flags["app"]
                found.append(
                    {
                        "name": name,
                        "addon_service": service if own else {},
                        "plan": {"name": addon["plan"]} if own else {},
                        "app": {"name": addon["app"]},
                        "attachments": attached,
                    }
                )
        print(json.dumps(found, indent=2))

    def addons_create(self, arguments: list[str], flags: dict[str, str]) -> None:
        (plan,) = arguments
        if plan not in PLANS:
            fail(f"Couldn't find either the add-on service or the add-on plan of {plan!r}.")
        self.app(flags["app"])
        name = flags.get("name", f"{plan.partition(':')[0][7:]}-cubed-{len(self.addons) + 12345}")
        self.addons[name] = {
            "app": flags["app"],
            "plan": plan,
            "state": "provisioning",
            "attachments": [],
        }
        self.attach(name, flags["app"], flags.get("as", PLANS[plan]))
        print(f"{name} is being created in the background. The app will restart when complete...")

    def attach(self, addon: str, app: str, attachment: str) -> None:
        if f"{attachment}_URL" in self.app(app)["config"]:
            fail(f"{attachment}_URL is set: To proceed, type {app} or re-run with --confirm {app}")
        self.addons[addon]["attachments"].append([app, attachment])
        self.tell(addon)

    def tell(self, addon: str) -> None:
        """The apps that an add-on is attached to learn its address, once it is there."""
        if self.addons[addon]["state"] == "provisioned":
            for app, attachment in self.addons[addon]["attachments"]:
                if f"{attachment}_URL" not in self.apps[app]["config"]:
                    self.apps[app]["config"][f"{attachment}_URL"] = f"secret://{addon}.example"
                    self.release(app, f"Set {attachment}_URL config vars")

    def addons_wait(self, _: list[str], flags: dict[str, str]) -> None:
        for name, addon in self.addons.items():
            if addon["app"] == flags["app"]:
                addon["state"] = "provisioned"
                self.tell(name)

    def addons_attach(self, arguments: list[str], flags: dict[str, str]) -> None:
        if arguments[0] not in self.addons:
            fail("Couldn't find that add-on.\n ›\n ›   Error ID: not_found")
        self.attach(arguments[0], flags["app"], flags.get("as", "REDIS"))

    def config(self, _: list[str], flags: dict[str, str]) -> None:
        print(json.dumps(self.app(flags["app"])["config"], indent=2))

    def config_set(self, arguments: list[str], flags: dict[str, str]) -> None:
        pairs = dict(pair.split("=", 1) for pair in arguments)
        app = self.app(flags["app"])
        app["config"].update(pairs)
        version = self.release(flags["app"], f"Set {', '.join(pairs)} config vars")["version"]
        names = ", ".join(pairs)
        print(f"Setting {names} and restarting {flags['app']}... done, v{version}", file=sys.stderr)
        for name, value in pairs.items():  # as the CLI does: in clear
            print(f"{name}: {value}")

    def domains(self, _: list[str], flags: dict[str, str]) -> None:
        self.app(flags["app"])
        found = [{"hostname": self.host(flags["app"]), "kind": "heroku", "cname": None}]
        found += [
            {"hostname": name, "kind": "custom", "cname": "x.herokudns.com"}
            for name in self.state.get("domains", [])
        ]
        print(json.dumps(found, indent=2))

    def releases_info(self, _: list[str], flags: dict[str, str]) -> None:
        release = self.app(flags["app"])["releases"][-1]
        print(json.dumps(release, indent=2))
        if release["status"] == "pending":  # it has ended when it is asked for again
            release["status"] = "succeeded"

    def ps_scale(self, arguments: list[str], flags: dict[str, str]) -> None:
        dynos = self.app(flags["app"])["dynos"]
        if not arguments:
            if not dynos:
                fail(f"No process types on {flags['app']}.")
            print(" ".join(f"{name}={count}:Basic" for name, count in sorted(dynos.items())))
        for change in arguments:
            name, _, count = change.partition("=")
            if name not in dynos or not re.fullmatch(r"\d+", count):
                fail(f"Couldn't find that process type ({name}).")
            dynos[name] = int(count)

    # --- git ---

    def received(self, name: str, commit: str, ref: str) -> None:
        """What Heroku does with a push: build what heroku.yml names, release it."""
        import yaml  # only here: it takes as long as a whole call

        app = self.app(name)
        files = git("ls-tree", "-r", "--name-only", commit).splitlines()
        if ref != "refs/heads/main":
            fail(f"Pushed to {ref}: Heroku builds main and master.")
        if app["stack"] != "container":
            fail("App not compatible with buildpack: no default language could be detected.")
        if "heroku.yml" not in files:
            fail("Your app does not include a heroku.yml build manifest.")
        manifest = yaml.safe_load(git("show", f"{commit}:heroku.yml"))
        for path in manifest["build"]["docker"].values():
            if path not in files:
                fail(f"Couldn't find the Dockerfile {path}.")
        if self.state.get("build_fails"):
            fail("The command 'pip install' returned a non-zero code: 1")
        for process in manifest["run"]:
            app["dynos"].setdefault(process, int(process == "web" and not app["dynos"]))
        status = self.state.get("release_ends", "succeeded") if "release" in manifest else ""
        self.release(name, f"Deploy {commit[:8]}", status or "succeeded")
        print(f"Verifying deploy of {name}... done.", file=sys.stderr)


def main() -> None:
    folder, command, words = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    heroku = Heroku(folder)
    if command == "received":
        _, commit, ref = sys.stdin.read().split()
        heroku.received(words[0], commit, ref)
    else:
        with (folder / "calls").open("a") as calls:
            calls.write(json.dumps([command, *words]) + "\n")
        arguments, flags = parse(command, words)
        if message := heroku.state.get("fails", {}).get(command):
            fail(message)
        method = {"addons": "addons_"}.get(command, command.replace(":", "_"))
        getattr(heroku, method)(arguments, flags)
    heroku.save()


if __name__ == "__main__":
    main()
