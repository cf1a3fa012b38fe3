"""`python -m stores`: start, stop and look at the stores of a directory."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stores.errors import StoreError
from stores.four import ADDRESS_FILE, NAMES, Stores


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0 done; 1 failed, with one line that says why; 2 wrong usage."""
    options = _parser().parse_args(arguments)
    stores = Stores(options.data)
    try:
        match options.command:
            case "fetch":
                stores.fetch(options.only)
            case "start":
                stores.start(options.only)
                _show(stores)
            case "stop":
                running = [store.name for store in stores.each if store.running]
                stores.stop()
                sys.stdout.write(f"stopped {', '.join(running)}\n" if running else "nothing was running\n")
            case _:
                _show(stores)
                return 0 if all(store.running for store in stores.each if store.name in options.only) else 1
    except StoreError as error:
        sys.stderr.write(f"stores: {error}\n")
        return 1
    return 0


def _show(stores: Stores) -> None:
    for store in stores.each:
        if store.running:
            where = store.address
            place = where.url if not hasattr(where, "port") else f"{where.host}:{where.port}"
            memory = store.memory() / 2**20
            sys.stdout.write(f"{store.name:<11} {store.version:<8} {place:<24} pid {store.pid}, {memory:.0f} MB\n")
        else:
            sys.stdout.write(f"{store.name:<11} {store.version:<8} not running\n")
    file = stores.directory / ADDRESS_FILE
    if file.exists():
        sys.stdout.write(f"addresses and passwords: {file}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stores", description=__doc__)
    parser.add_argument("command", choices=("start", "stop", "status", "fetch"))
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("MEMOIR_STORES_DATA", ".memoir-stores")), metavar="DIR",
        help="where they keep everything (MEMOIR_STORES_DATA, or .memoir-stores)",
    )  # fmt: skip
    parser.add_argument("--only", type=_names, default=NAMES, metavar="NAME,...", help="some of " + ",".join(NAMES))
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"{name!r} is no store; use {', '.join(NAMES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
