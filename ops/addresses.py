"""Where things are and who may enter, printed once all is up."""

from __future__ import annotations


def addresses(env: dict[str, str], ports: dict[str, int], *, containers: bool) -> str:
    """Those of `make up` and `make local` with users and passwords, then the next verbs."""
    flower, _, password = env.get("FLOWER_BASIC_AUTH", "").partition(":")
    rows: list[tuple[str, str, str]] = [
        ("My Images", f"http://localhost:{ports['WEB_PORT']}/", ""),
        ("My Files", f"http://localhost:{ports['WEB_PORT']}/files/", ""),
        ("Flower", f"http://localhost:{ports['FLOWER_PORT']}/", f"{flower}  {password}"),
    ]
    if containers:
        root = f"{env.get('MINIO_ROOT_USER', '')}  {env.get('MINIO_ROOT_PASSWORD', '')}"
        rows.append(("MinIO", f"http://localhost:{ports['MINIO_CONSOLE_PORT']}/", root))
        verbs = "make logs   make manage ARGS=createsuperuser   make test   make down"
    else:
        verbs = "Ctrl-C stops it   make manage ARGS=createsuperuser   make test"
    return table(rows, verbs)


def table(rows: list[tuple[str, str, str]], verbs: str) -> str:
    """Names, addresses and who may enter, one below the other, then the next verbs."""
    width = max(30, *(len(address) for _, address, _ in rows))
    lines = [f"  {name:<10} {address:<{width}} {who}".rstrip() for name, address, who in rows]
    return "\n".join(["", *lines, "", f"  {verbs}", ""])
