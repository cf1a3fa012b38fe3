"""Writes `memoir/sync/` from `memoir/aio/`: the same methods, signatures and docstrings, without `async`.

Run it after changing a method of the asynchronous client: `python sdk-python/sync_face.py`. With `--check` it writes
nothing and fails when a file is not current.
"""

import ast
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

PACKAGE = Path(__file__).resolve().parent / "memoir"
MODULES = ("admin", "graph", "history", "reads", "resets", "search", "transfer", "writes")
SERVICE_BASE = "AsyncService"

N = TypeVar("N", bound=ast.stmt)


def definition(source: str, kind: type[N]) -> N:
    """Parse one definition to fill in; unlike calling the node's class, this works with every version of Python."""
    node = ast.parse(source).body[0]
    if not isinstance(node, kind):
        raise TypeError(f"{source!r} is not a {kind.__name__}")
    return node


def sync_annotation(annotation: ast.expr | None) -> ast.expr | None:
    """Rename the return types that differ."""
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Name) and node.id in ("AsyncPages", "AsyncStream"):
            node.id = node.id.removeprefix("Async")
    return annotation


def is_overload(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Say whether a definition is only a signature."""
    return any(isinstance(item, ast.Name) and item.id == "overload" for item in function.decorator_list)


def sync_method(function: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.FunctionDef:
    """Build the synchronous method of an asynchronous one."""
    arguments = function.args
    for argument in (*arguments.args, *arguments.kwonlyargs):
        sync_annotation(argument.annotation)
    body = function.body[:1]
    if not is_overload(function):
        call = ast.Call(
            func=ast.parse(f"self._core.{function.name}", mode="eval").body,
            args=[ast.Name(item.arg) for item in arguments.args[1:]],
            keywords=[ast.keyword(item.arg, ast.Name(item.arg)) for item in arguments.kwonlyargs],
        )
        returned = ast.unparse(function.returns) if function.returns else ""
        runner = (
            "_run" if isinstance(function, ast.AsyncFunctionDef) else "_pages" if "Pages" in returned else "_stream"
        )
        wrapped = ast.Call(func=ast.parse(f"self.{runner}", mode="eval").body, args=[call], keywords=[])
        body = [*body, ast.Return(wrapped)]
    result = definition(f"def {function.name}(): ...", ast.FunctionDef)
    result.args, result.body = arguments, body
    result.decorator_list, result.returns = function.decorator_list, sync_annotation(function.returns)
    return result


def used_names(tree: ast.AST) -> set[str]:
    """Return every name a tree mentions."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def sync_module(name: str) -> str:
    """Return the source of one generated module, not yet formatted."""
    tree = ast.parse((PACKAGE / "aio" / f"{name}.py").read_text(encoding="utf-8"))
    service = next(
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == SERVICE_BASE for base in node.bases)
    )
    methods = [
        sync_method(item)
        for item in service.body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_")
    ]
    result = definition(f"class {service.name.removeprefix('Async')}(SyncService): ...", ast.ClassDef)
    result.body = [service.body[0], *methods]
    used = used_names(result)
    imports = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "memoir.streams":
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
            if node.names:
                imports.append(ast.unparse(node))
    own = [
        item.id
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        for item in [node.target]
        if isinstance(item, ast.Name) and item.id in used
    ]
    if own:
        imports.append(f"from memoir.aio.{name} import {', '.join(own)}")
    base = ["SyncService", *sorted(used & {"Pages", "Stream"})]
    imports.append(f"from memoir.sync.base import {', '.join(base)}")
    docstring = (ast.get_docstring(tree) or "").splitlines()[0]
    head = f'"""{docstring} Generated from `memoir/aio/{name}.py`; do not edit."""'
    module = ast.fix_missing_locations(ast.Module(body=[result], type_ignores=[]))
    return "\n\n".join([head, "\n".join(imports), ast.unparse(module)]) + "\n"


def formatted(source: str, name: str) -> str:
    """Sort imports and format, by the project's rules."""
    ruff = [sys.executable, "-m", "ruff"]
    path = str(PACKAGE / "sync" / f"{name}.py")
    for command in (
        [*ruff, "check", "--quiet", "--fix", "--select", "I", "--stdin-filename", path, "-"],
        [*ruff, "format", "--quiet", "--stdin-filename", path, "-"],
    ):
        source = subprocess.run(command, input=source, text=True, capture_output=True, check=True).stdout
    return source


def main(arguments: list[str]) -> int:
    """Generate, then write or compare. Returns the exit status."""
    stale = []
    for name in MODULES:
        path = PACKAGE / "sync" / f"{name}.py"
        source = formatted(sync_module(name), name)
        if not path.exists() or path.read_text(encoding="utf-8") != source:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(source, encoding="utf-8")
    if "--check" in arguments and stale:
        sys.stderr.write(f"not current: memoir/sync/{', '.join(stale)}; run python sdk-python/sync_face.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
