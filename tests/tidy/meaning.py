"""Which rules speak of what code does: money, purity, direction, errors, tests?

What a rule calls a float or a path is decided by syntax alone, so a name must tell the truth:

- a float may stand where its name says that it is a duration: bound to, passed as or compared with
  a name that ends in ``seconds`` or is ``timeout``, or as the only argument of a call of
  ``sleep``, ``wait`` or ``join``. Engine kernels have no durations and get no exception;
- ``/`` joins paths when one side is a string, a call of ``Path`` or a name that ends in ``path``,
  ``directory``, ``parent``, ``root`` or ``here``; every other ``/`` divides.
"""

import ast
from collections.abc import Iterator

from tests.tidy.sources import Complaint, Complaints, Source

MONEY = ("engine", "settlement", "merchants")
PURE = (
    "engine/core",
    "engine/reference",
    "engine/types.py",
    "engine/commands.py",
    "engine/events.py",
)
IMPURE_MODULES = {
    *("asyncio", "datetime", "io", "os", "pathlib", "random", "secrets", "shutil", "signal"),
    *("socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid"),
}
IMPURE_CALLS = {"open", "input", "print", "exec", "eval", "id", "hash"}
READS_ITS_OWN_SOURCE = "engine/core/jit.py"
"""Names the kernel cache after the kernels' text; it runs before the first command."""

CHAIN_FILES = ("settlement/chain",)
ONLY_IN: dict[str, tuple[str, ...]] = {
    "web3": CHAIN_FILES,
    "eth_tester": CHAIN_FILES,
    "fastapi": ("gateway",),
    "starlette": ("gateway",),
    "uvicorn": ("gateway",),
    # A client, and the bridge on a trader's machine: the exchange is outside for both.
    "httpx": (
        "merchants/webhooks/egress.py",
        "merchants/webhooks/fetch.py",
        "gateway/client",
        "gateway/api/binance/bridge",
    ),
    # web3 speaks through requests, so whoever speaks to a node has to know its errors by name.
    "requests": ("merchants/webhooks/egress.py", *CHAIN_FILES),
    "aiohttp": ("merchants/webhooks/egress.py",),
    "urllib3": ("merchants/webhooks/egress.py",),
    "urllib.request": ("merchants/webhooks/egress.py",),
    # The demo plays a program outside the exchange, on loopback.
    "http.client": (
        "merchants/webhooks/egress.py",
        "settlement/chain/dev/line.py",
        "gateway/sandbox/client.py",
    ),
    "numba": ("engine/core", "settlement/protocol/signers.py"),
    "benchmarks": ("benchmarks",),
    "tests": ("tests",),
}
FLOAT_NAMES = {"float", "float16", "float32", "float64", "floating", "double", "true_divide"}
FLOAT_CODES = {"f4", "f8", "<f4", "<f8", ">f8", "float32", "float64"}
PATH_NAMES = ("path", "directory", "parent", "root", "here")
WAITS = {"sleep", "wait", "join", "wait_for", "timeout"}
CATCH_ALL = {"Exception", "BaseException"}
CATCHES_ALL = "gateway/node/app.py"


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that ``source`` imports."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}"


def _is_or_in(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _last_name(node: ast.AST | None) -> str:
    """Return the identifier a name, attribute or call ends in; empty for anything else."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_path(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        return _is_path(node.left) or _is_path(node.right)
    name = _last_name(node).lower()
    return isinstance(node, ast.JoinedStr) or name.endswith(PATH_NAMES)


def _names_duration(name: str | None) -> bool:
    return name is not None and (name.lower().endswith("seconds") or name.lower() == "timeout")


def _is_duration(node: ast.AST) -> bool:
    """Tell whether the names around ``node`` say that it is a time to wait."""
    child, parent = node, getattr(node, "parent", None)
    while isinstance(parent, ast.BinOp | ast.UnaryOp | ast.IfExp | ast.Tuple):
        child, parent = parent, parent.parent  # type: ignore[union-attr]
    match parent:
        case ast.keyword() | ast.arg():
            return _names_duration(parent.arg)
        case ast.AnnAssign() | ast.AugAssign():
            return _names_duration(_last_name(parent.target))
        case ast.Assign():
            return all(_names_duration(_last_name(target)) for target in parent.targets)
        case ast.Compare():
            sides = [parent.left, *parent.comparators]
            return any(_names_duration(_last_name(side)) for side in sides)
        case ast.Call():
            return _last_name(parent) in WAITS and child in parent.args
        case ast.arguments():
            return _is_duration_default(parent, child)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return child is parent.returns and _names_duration(parent.name)
    return False


def _is_duration_default(arguments: ast.arguments, default: ast.AST) -> bool:
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    pairs += [
        (name, value)
        for name, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if value is not None
    ]
    return any(value is default and _names_duration(name.arg) for name, value in pairs)


def _float_word(node: ast.AST) -> str | None:
    """Return how ``node`` brings a float about, None if it does not."""
    match node:
        case ast.Constant(value=float() | complex()):
            return f"the literal {node.value!r}"
        case ast.Constant(value=str()) if node.value in FLOAT_CODES:
            return f"the dtype {node.value!r}"
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in FLOAT_NAMES:
            return name
        case ast.BinOp(op=ast.Div()) if not (_is_path(node.left) or _is_path(node.right)):
            return "the operator /"
        case ast.AugAssign(op=ast.Div()) if not (_is_path(node.target) or _is_path(node.value)):
            return "the operator /="
    return None


def money_is_whole(source: Source) -> Complaints:
    """No float and no division in the engine, in settlement and for merchants."""
    if not source.is_python or not source.within(*MONEY):
        return
    for node in ast.walk(source.tree):
        word = _float_word(node)
        if word and (source.within(*PURE) or not _is_duration(node)):
            line = getattr(node, "lineno", 0)
            yield Complaint(line, f"{word}: money is whole numbers")


def engine_is_pure(source: Source) -> Complaints:
    """The kernel, its reference and their words use no clock, dice, file, socket or environment."""
    if not source.is_python or not source.within(*PURE):
        return
    for line, name in imports(source):
        module = name.partition(".")[0]
        if module == "pathlib" and source.within(READS_ITS_OWN_SOURCE):
            continue
        if module in IMPURE_MODULES or _is_or_in(name, "numpy.random"):
            yield Complaint(line, f"imports {module}: the engine is a pure function")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in IMPURE_CALLS:
                yield Complaint(node.lineno, f"calls {node.func.id}: the engine is a pure function")
        elif isinstance(node, ast.Attribute) and node.attr == "random":
            yield Complaint(node.lineno, "throws dice: the engine is a pure function")


def libraries_stay_in_place(source: Source) -> Complaints:
    """web3, FastAPI, HTTP clients and numba are known only where the design puts them."""
    if not source.is_product:
        return
    for line, name in imports(source):
        for library, places in ONLY_IN.items():
            if _is_or_in(name, library) and not source.within(*places):
                yield Complaint(line, f"{library} is known only in {', '.join(places)}")


def errors_are_named(source: Source) -> Complaints:
    """Only gateway/node/app.py catches everything, and there only once."""
    if not source.is_python:
        return
    lines = [node.lineno for node in ast.walk(source.tree) if _catches_all(node)]
    for line in lines[1:] if source.within(CATCHES_ALL) else lines:
        yield Complaint(line, f"catches everything; that is done once, in {CATCHES_ALL}")


def _catches_all(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        return any(kind is None or _last_name(kind) in CATCH_ALL for kind in kinds)
    if isinstance(node, ast.Call) and _last_name(node) == "suppress":
        return any(_last_name(kind) in CATCH_ALL for kind in node.args)
    return False


def tests_wait_for_nothing(source: Source) -> Complaints:
    """No test sleeps for a while, and none mocks: seams are constructor arguments."""
    if not source.is_python or not source.within("tests"):
        return
    for line, name in imports(source):
        if _is_or_in(name, "unittest.mock") or name in {"time.sleep", "asyncio.sleep"}:
            yield Complaint(line, f"{name} in a test")
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        is_yield = [getattr(argument, "value", None) for argument in node.args] == [0]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "sleep" and not is_yield:
            yield Complaint(node.lineno, "a test that sleeps is slow when green and wrong when red")


RULES = (
    money_is_whole,
    engine_is_pure,
    libraries_stay_in_place,
    errors_are_named,
    tests_wait_for_nothing,
)
