"""The import contracts and the types of every package of the app are checked, of a new one too."""

import tomllib

from support import APP, ROOT

TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_no_package_of_the_app_escapes_the_contracts_or_the_types():
    packages = {init.parent.name for init in APP.glob("*/__init__.py")} - {"tests"}
    (circles,) = [
        contract
        for contract in TOOLS["importlinter"]["contracts"]
        if contract["type"] == "acyclic_siblings"
    ]
    assert set(TOOLS["importlinter"]["root_packages"]) == packages
    assert set(circles["ancestors"]) == packages
    assert set(TOOLS["mypy"]["packages"]) == packages
