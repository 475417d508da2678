"""`make up`: check, build, start, wait, and say where everything is.

Ends with 3 where no engine answers; the Makefile then does `make local`. Safe to run again: it
applies what changed in `.env`. Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import sys

from ops import doctor, engine, env_values, envfile, shell
from ops.addresses import addresses
from ops.terminal import die, say, speak_as

NO_ENGINE = 3


def main() -> int:
    speak_as("up")
    env = envfile.read(envfile.ROOT / ".env")
    project = shell.use(env)
    info, reason = engine.info()
    if not info:
        say(f"no container engine ({reason}): `make local` instead")
        return NO_ENGINE
    problems = doctor.check(env, info, project)
    if problems:
        die(*problems)
    services = json.loads(engine.compose_json("config", "--format", "json"))["services"]
    engine.fetch_images(services)
    if engine.compiles_minio(env, project):
        say("MinIO is compiled once, which takes minutes: 5 on two cores")
    if engine.compose("build"):
        die("the build failed, see above; `make local` runs the stack without containers")
    # Without --wait, with which its return code is 1 as soon as a one-shot service has ended.
    failed = engine.compose("up", "--detach", "--no-build")
    services = {name: each for name, each in services.items() if each.get("scale", 1)}
    bad = engine.unwell(services) if failed else engine.wait(services)
    if bad:
        said = engine.failed_bootstrap()
        if said:
            die(said)
        started = [name for name, state in bad.items() if state not in ("not started", "created")]
        if started:
            engine.compose("logs", "--tail", "20", *started)
        listed = ", ".join(f"{name} ({state})" for name, state in bad.items())
        die(f"not well: {listed}; " + ("see above" if failed else "`make logs` shows all"))
    if failed:
        die("Compose failed, see above: the old containers keep running, without the changes")
    engine.forget_former_keys()
    print(addresses(env, env_values.ports(env), containers=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
