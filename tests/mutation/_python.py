"""
Mutants of Python: each comparison, each test and each member of ``and``/``or`` forced to true or
false in turn. A mutant replaces the code of a function that exists, so everybody who has it calls
the mutant.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

Path = tuple[tuple[str, int | None], ...]


class PythonMutant(NamedTuple):
    """One place in one function, and what stands there instead."""

    store: str
    function: FunctionType
    code: CodeType
    words: str

    @property
    def target(self) -> str:
        """What a probe must call to have a chance."""
        return place(self.function.__code__)

    @property
    def name(self) -> str:
        """Something to read."""
        where = f"{self.function.__module__.rpartition('.')[2]}.{self.function.__qualname__}"
        return f"{self.store} | {where} | {self.words}"

    @contextmanager
    def applied(self) -> Generator[None]:
        """While this is open, everybody runs the mutant."""
        function: Any = self.function
        plain = function.__code__
        function.__code__ = self.code
        try:
            yield
        finally:
            function.__code__ = plain


def place(code: CodeType) -> str:
    """The name of a function that both its code and its mutants' have."""
    return f"{code.co_filename}:{code.co_qualname}"


def mutants(store: str, module: ModuleType, *names: str) -> Iterator[PythonMutant]:
    """All mutants of a module's functions and methods, or of the named ones."""
    source = inspect.getsource(module)
    seen: Counter[tuple[str, str]] = Counter()
    functions = dict(_functions(module, names))
    first, *statements = ast.parse(source).body[1:]
    assert isinstance(first, ast.ImportFrom), "from __future__ import annotations"
    for statement in statements:
        part = ast.Module(body=[first, statement], type_ignores=[])
        # compiled anew: what has run for a while is not told from its mutant by its code
        sound = {c.co_qualname: c for c in _codes(compile(part, str(module.__file__), "exec"))}
        for path, node in list(_nodes(part, ())):
            for instead in (True, False):
                code = _compiled(part, path, node, instead, str(module.__file__))
                for inner in _codes(code):
                    function = functions.get(inner.co_qualname)
                    if function is not None and _differs(sound[inner.co_qualname], inner):
                        words = f"{' '.join(ast.unparse(node).split())} -> {instead}"
                        seen[inner.co_qualname, words] += 1
                        n = seen[inner.co_qualname, words]
                        words += f" ({n})" if n > 1 else ""
                        yield PythonMutant(store, function, inner, words)


def _compiled(part: ast.Module, path: Path, node: ast.expr, instead: bool, name: str) -> CodeType:
    """The code of *part* with another value in the place of *node*."""
    _replace(part, path, ast.copy_location(ast.Constant(value=instead), node))
    try:
        return compile(part, name, "exec")
    finally:
        _replace(part, path, node)


def _functions(module: ModuleType, names: tuple[str, ...]) -> Iterator[tuple[str, FunctionType]]:
    spaces: list[Mapping[str, Any]] = [vars(module)]
    spaces += [vars(c) for c in vars(module).values() if inspect.isclass(c)]
    for space in spaces:
        for thing in list(space.values()):
            if not inspect.isfunction(thing) or thing.__code__.co_filename != module.__file__:
                continue
            if not names or thing.__qualname__.split(".")[0] in names:
                yield thing.__qualname__, thing


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _differs(plain: CodeType, mutant: CodeType) -> bool:
    return bool(_text(plain) != _text(mutant))


def _text(code: CodeType) -> Any:
    consts: list[Any] = [
        _text(c) if isinstance(c, CodeType) else (type(c), c) for c in code.co_consts
    ]
    return code.co_code, consts, code.co_names


def _nodes(tree: ast.AST, path: Path) -> Iterator[tuple[Path, ast.expr]]:
    """Every expression that decides something."""
    for name, value in ast.iter_fields(tree):
        several: Any = value
        children: list[Any] = list(several) if isinstance(value, list) else [value]
        for n, child in enumerate(children):
            if not isinstance(child, ast.AST):
                continue
            here = (*path, (name, n if isinstance(value, list) else None))
            if isinstance(child, ast.expr) and _decides(tree, name, child):
                yield here, child
            yield from _nodes(child, here)


def _decides(parent: ast.AST, name: str, node: ast.expr) -> bool:
    if isinstance(parent, ast.Assert) or isinstance(node, ast.Constant | ast.Slice):
        return False
    if isinstance(parent, ast.If | ast.IfExp | ast.While) and name == "test":
        return True
    if isinstance(parent, ast.comprehension) and name == "ifs":
        return True
    return isinstance(parent, ast.BoolOp) or isinstance(node, ast.Compare)


def _replace(tree: ast.AST, path: Path, new: ast.expr) -> None:
    *way, (name, n) = path
    node: Any = tree
    for step, k in way:
        node = getattr(node, step)
        node = node if k is None else node[k]
    if n is None:
        setattr(node, name, new)
    else:
        getattr(node, name)[n] = new
