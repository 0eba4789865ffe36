"""Bad input is a typed error that says what to do, before a tool runs or a row is written."""

from __future__ import annotations

import asyncio
import builtins
import re
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from tallystick import Approval, Guarantee, Ledger, Policy, Retry
from tallystick.errors import (
    ArgumentsTooLarge,
    AsyncTool,
    DriverMissing,
    InvalidCall,
    InvalidPolicy,
    InvalidUrl,
    LedgerClosed,
    LedgerError,
    NotSerializable,
    NoWorkflow,
    SchemaMismatch,
    StoreUnavailable,
)
from tallystick.runs import Undo
from tallystick.stores import _sqlite
from tallystick.stores._revision import HEAD
from tests.conftest import Face, Place
from tests.scenarios._processes import on_postgres, on_sqlite

TRANSACTIONAL = Policy(guarantee=Guarantee.TRANSACTIONAL)


class Tool:
    """Counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, order: str = "A", cents: int = 1) -> str:
        self.runs += 1
        return order


@pytest.fixture
def tool(place: Place) -> Any:
    """A tool; afterwards it must not have run, and nothing may be recorded."""
    ledger, tool = place.open(), Tool()
    yield tool
    assert tool.runs == 0
    assert ledger.effects() == []
    assert ledger.pending() == []


def ignore(*_: Any, **__: Any) -> None:
    """Do nothing."""


# -- where the ledger is ------------------------------------------------------------------------

URLS = {
    "oracle://localhost/x": "sqlite://, postgresql://, mariadb://, mysql:// or memory://",
    "ledger.db": "sqlite:///file.db",
    "": "is not a URL",
    "sqlite://": "use memory://",
    "sqlite:///": "use memory://",
    "sqlite:///:memory:": "use memory://",
    "sqlite:///file::memory:?cache=shared&uri=true": "use memory://",
    "sqlite:///file:x?mode=memory&uri=true": "use memory://",
    "sqlite:///file:x?uri=true": "give the path itself",
    "postgresql://host:no-number/x": "cannot be read as a URL",
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_names_no_store_is_refused_with_one_that_does(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown schemes, paths and databases in memory: nothing is made on the disk."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidUrl, match=URLS[url].replace("?", r"\?")):
        Ledger(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [None, 5, object(), Path("ledger.db")])
def test_what_is_neither_url_nor_engine_nor_store_is_refused(target: Any) -> None:
    """The error lists what can be given."""
    with pytest.raises(InvalidUrl, match="give a URL, a SQLAlchemy Engine"):
        Ledger(target)


def test_engines_of_other_databases_and_drivers_are_refused(tmp_path: Path) -> None:
    """So are asynchronous engines, whose connections cannot be shared with threads."""
    other: Any = sqlalchemy.create_mock_engine("mssql+pymssql://", ignore)
    with pytest.raises(InvalidUrl, match="an engine for mssql is no store"):
        Ledger(other)
    asynchronous: Any = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'l.db'}")
    with pytest.raises(InvalidUrl, match="give the ledger its URL, or an Engine"):
        Ledger(asynchronous)
    psycopg2: Any = sqlalchemy.create_mock_engine("postgresql+psycopg://", ignore)
    psycopg2.dialect.driver = "psycopg2"
    with pytest.raises(InvalidUrl, match="needs psycopg 3"):
        Ledger(psycopg2)
    asyncmy: Any = sqlalchemy.create_mock_engine("mysql+pymysql://", ignore)
    asyncmy.dialect.driver = "asyncmy"
    with pytest.raises(InvalidUrl, match="needs PyMySQL"):
        Ledger(asyncmy)


@pytest.mark.parametrize(
    ("driver", "scheme", "extra"),
    [
        ("psycopg", "postgresql", "postgres"),
        ("pymysql", "mariadb", "mariadb"),
        ("pymysql", "mysql", "mariadb"),
    ],
)
def test_a_missing_driver_is_named_with_its_extra(
    driver: str, scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without its driver says what to install."""
    for name in [n for n in sys.modules if n.split(".")[0] == driver]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == driver:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DriverMissing, match=rf'pip install "tallystick\[{extra}\]"'):
        Ledger(f"{scheme}://localhost/x")


def test_an_import_that_fails_for_another_reason_is_not_called_a_missing_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is raised as it is."""
    monkeypatch.delitem(sys.modules, "tallystick.stores._postgres", raising=False)
    monkeypatch.setitem(sys.modules, "tallystick.stores._listen", None)
    with pytest.raises(ModuleNotFoundError, match="_listen"):
        Ledger("postgresql://localhost/x")


@pytest.mark.postgres
def test_the_options_of_a_url_are_kept(empty_postgres: str) -> None:
    """They come after the ledger's own, and win."""
    with psycopg.connect(empty_postgres, autocommit=True) as db:
        db.execute("DROP SCHEMA IF EXISTS apart CASCADE; CREATE SCHEMA apart")
    url = sqlalchemy.make_url(empty_postgres).update_query_dict(
        {"options": "-c search_path=apart -c lock_timeout=123"}
    )
    with Ledger(url.render_as_string(hide_password=False), create=True) as ledger:
        ledger.call("charge", lambda: None, workflow="w")
    with psycopg.connect(empty_postgres) as db:
        assert db.execute("SELECT count(*) FROM apart.tallystick_effect").fetchone() == (1,)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """The error says to check the URL."""
    with pytest.raises(StoreUnavailable, match="check that the database runs"):
        Ledger("postgresql://127.0.0.1:1/x")


def set_revision(place: Place, revision: str) -> None:
    """Make the database look as if another version had written it."""
    statement = f"UPDATE tallystick_version SET version_num = '{revision}'"
    if place.kind == "sqlite":
        file = sqlite3.connect(place.url.removeprefix("sqlite:///"))
        file.execute(statement)
        file.commit()
        file.close()
    else:
        with psycopg.connect(place.url, autocommit=True) as db:
            db.execute(statement.encode())


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
def test_tables_of_a_newer_version_are_not_touched(place: Place) -> None:
    """The error says to upgrade the package, with ``create`` and without."""
    place.open().close()
    set_revision(place, "9999")
    try:
        for create in (False, True):
            with pytest.raises(SchemaMismatch, match="upgrade the package"):
                Ledger(place.url, create=create)
    finally:
        set_revision(place, HEAD)


@on_sqlite
def test_tables_of_an_older_version_are_upgraded_only_on_request(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how: ``tallystick db upgrade``, or ``create=True``."""
    place.open().close()
    monkeypatch.setattr("tallystick.stores._schema.HEAD", "0777")
    with pytest.raises(SchemaMismatch, match=rf"at revision {HEAD} .* needs 0777: .*db upgrade"):
        Ledger(place.url)


@on_postgres
def test_missing_tables_on_a_server_are_not_made_unasked(place: Place) -> None:
    """The error says how to make them."""
    with psycopg.connect(place.url, autocommit=True) as db:
        db.execute("ALTER TABLE tallystick_version RENAME TO hidden_version")
        for name in ("effect", "event", "inbox", "vote", "halt", "worker"):
            db.execute(f"ALTER TABLE tallystick_{name} RENAME TO hidden_{name}".encode())
    try:
        with pytest.raises(SchemaMismatch, match=r"db upgrade .* or .*create=True"):
            Ledger(place.url)
    finally:
        with psycopg.connect(place.url, autocommit=True) as db:
            for name in ("effect", "event", "inbox", "vote", "halt", "worker", "version"):
                db.execute(f"ALTER TABLE hidden_{name} RENAME TO tallystick_{name}".encode())


MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
server:/export {place} {kind} rw 0 0
tmpfs /run tmpfs rw 0 0
"""


@pytest.mark.parametrize(("kind", "refused"), [("nfs4", True), ("cifs", True), ("xfs", False)])
def test_sqlite_on_a_network_file_system_is_refused(
    kind: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's locks cannot be trusted there; the error offers a local disk or PostgreSQL."""
    shared = tmp_path / "with a space"
    shared.mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(place=str(shared).replace(" ", "\\040"), kind=kind))

    def path(name: str) -> Path:
        return mounts if name == "/proc/self/mounts" else Path(name)

    monkeypatch.setattr(_sqlite, "Path", path)
    if refused:
        with pytest.raises(InvalidUrl, match=rf"network file system \({kind}\).*PostgreSQL"):
            Ledger(f"sqlite:///{shared / 'ledger.db'}")
        assert list(shared.iterdir()) == []
    else:
        Ledger(f"sqlite:///{shared / 'ledger.db'}").close()


OPTIONS: dict[str, list[Any]] = {
    "tenant": ["", 5, None, "a\0b", "x" * 1_000_001, "\ud800"],
    "lease": [0, 0.1, 86_401, float("nan"), "15", None],
    "hooks": [5, [5], [None]],
    "max_arguments": [0, -1, "1000", 1.5],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, v) for name, vs in OPTIONS.items() for v in vs],
    ids=lambda v: repr(v)[:20],
)
def test_a_ledgers_options_are_checked(name: str, value: Any) -> None:
    """The error names the option."""
    with pytest.raises(InvalidCall, match=name):
        Ledger("memory://", **{name: value})


# -- what is called, and with what --------------------------------------------------------------

LONG = "x" * 1_000_001
NAMES: dict[str, Any] = {
    "empty": "",
    "a number": 5,
    "a NUL": "a\0b",
    "half a pair": "\ud800",
    "long": LONG,
}


@pytest.mark.parametrize("bad", NAMES)
@pytest.mark.parametrize("part", ["workflow", "tool", "call_id"])
def test_names_are_strings_of_a_sensible_length(
    place: Place, face: Face, tool: Tool, part: str, bad: str
) -> None:
    """Workflow, tool and call id: empty, over a megabyte, or what no database keeps."""
    names = {"workflow": "w", "tool": "charge", part: NAMES[bad]}
    name = names.pop("tool")
    with pytest.raises(InvalidCall, match=part):
        face.do(place.open(), "call", name, tool, {}, **names)


def test_a_megabyte_is_still_a_name(place: Place, face: Face) -> None:
    """The limit is where it says: a million characters are recorded and found again."""
    ledger, tool = place.open(), Tool()
    workflow, call_id = "w" * 1_000_000, "c" * 1_000_000
    for _ in range(2):
        face.do(ledger, "call", "charge", tool, {}, workflow=workflow, call_id=call_id)
    assert tool.runs == 1
    assert len(ledger.effects(workflow=workflow)) == 1


def test_no_workflow_at_all_is_an_error_that_says_what_to_do(
    place: Place, face: Face, tool: Tool
) -> None:
    """Neither given nor ambient."""
    with pytest.raises(NoWorkflow, match=r"ledger\.workflow\("):
        face.do(place.open(), "call", "charge", tool)
    with pytest.raises(InvalidCall, match="workflow"):
        place.open().workflow("")


def recursive() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


UNSERIALISABLE: dict[str, Callable[[], Any]] = {
    "not a number": lambda: float("nan"),
    "infinite": lambda: [{"x": float("-inf")}],
    "an object": object,
    "a function": lambda: print,
    "a file": lambda: sys.stderr,
    "a set of objects": lambda: {object()},
    "itself": recursive,
    "keys of both kinds": lambda: {1: "a", 1.5: object()},
}


@pytest.mark.parametrize("what", UNSERIALISABLE)
def test_arguments_without_a_canonical_form_are_refused(
    place: Place, face: Face, tool: Tool, what: str
) -> None:
    """The error names the argument."""
    with pytest.raises(NotSerializable, match="order"):
        face.do(
            place.open(), "call", "charge", tool, {"order": UNSERIALISABLE[what]()}, workflow="w"
        )


def test_arguments_over_the_limit_are_refused(place: Place, face: Face, tool: Tool) -> None:
    """The limit can be set, and the error says so."""
    with pytest.raises(ArgumentsTooLarge, match=r"max_arguments"):
        face.do(place.open(), "call", "charge", tool, {"order": "x" * (1 << 20)}, workflow="w")
    small = place.open(max_arguments=100)
    with pytest.raises(ArgumentsTooLarge, match="the limit is 100"):
        face.do(small, "call", "charge", tool, {"order": "x" * 100}, workflow="w")


@pytest.mark.parametrize(
    "args", [5, "order", [("order", "A")], {"orders": "A"}, {1: "A"}, {"order": 1, "x": 2}]
)
def test_arguments_that_do_not_fit_the_tool_are_refused(
    place: Place, face: Face, tool: Tool, args: Any
) -> None:
    """No mapping, unknown names, names that are no strings."""
    with pytest.raises(InvalidCall, match=r"args=|does not take these arguments"):
        face.do(place.open(), "call", "charge", tool, args, workflow="w")


def test_a_missing_argument_is_named(place: Place, face: Face, tool: Tool) -> None:
    """Before the tool could raise a TypeError that looks like its own."""

    def charge(order: str, *, cents: int) -> None:
        tool(order, cents)

    with pytest.raises(InvalidCall, match="missing cents"):
        face.do(place.open(), "call", "charge", charge, {"order": "A"}, workflow="w")


def test_a_tool_with_positional_only_parameters_is_refused(
    place: Place, face: Face, tool: Tool
) -> None:
    """Tools are called by name; the error names the parameter."""

    def charge(order: str, /) -> None:
        tool(order)

    with pytest.raises(InvalidCall, match="positional-only parameter 'order'"):
        face.do(place.open(), "call", "charge", charge, {"order": "A"}, workflow="w")
    with pytest.raises(InvalidCall, match="positional-only"):
        place.open().tool()(charge)


@pytest.mark.parametrize("occurrence", [-1, 1.0, True, "1", None, 1 << 63])
def test_an_occurrence_is_a_whole_number(
    place: Place, face: Face, tool: Tool, occurrence: Any
) -> None:
    """From nought up, and one that every database can keep."""
    with pytest.raises(InvalidCall, match="occurrence"):
        face.do(place.open(), "call", "charge", tool, workflow="w", occurrence=occurrence)


@pytest.mark.parametrize("policy", [5, "always", {"retry": 3}, Policy])
def test_a_policy_is_a_policy(place: Place, face: Face, tool: Tool, policy: Any) -> None:
    """And nothing that looks like one."""
    with pytest.raises(InvalidPolicy, match=r"give a tallystick\.Policy"):
        face.do(place.open(), "call", "charge", tool, workflow="w", policy=policy)


def test_an_identity_of_arguments_that_are_not_there_is_refused(
    place: Place, face: Face, tool: Tool
) -> None:
    """The error names the missing ones and those that there are."""
    policy = Policy(identity=("order", "customer"))
    with pytest.raises(InvalidPolicy, match="names customer"):
        face.do(place.open(), "call", "charge", tool, {"order": "A"}, workflow="w", policy=policy)


def test_an_async_tool_on_the_blocking_face_is_refused(place: Place, tool: Tool) -> None:
    """The error names the method to use."""

    async def charge(order: str = "A") -> str:
        return tool(order)

    with pytest.raises(AsyncTool, match=r"await ledger\.acall"):
        place.open().call("charge", cast("Any", charge), workflow="w")


async def async_generator() -> AsyncGenerator[int]:
    """A tool that only looks like one."""
    yield 1


def generator() -> Generator[int]:
    """Another."""
    yield 1


@pytest.mark.parametrize("fn", [generator, async_generator])
def test_a_generator_is_refused(place: Place, tool: Tool, face: Face, fn: Any) -> None:
    """Calling it does nothing, which would be recorded as a success."""
    with pytest.raises(InvalidCall, match="is a generator"):
        face.do(place.open(), "call", "charge", fn, workflow="w")


async def test_a_callable_object_may_be_async(place: Place) -> None:
    """On the awaiting face its coroutine is awaited like any other tool's."""
    ledger, tool = place.open(), Tool()

    async def charge(order: str) -> str:
        return tool(order)

    disguised = Callable_(charge)
    for _ in range(2):
        assert await ledger.acall("charge", disguised, {"order": "B"}, workflow="w") == "B"
    assert tool.runs == 1


def test_a_coroutine_that_nobody_would_await_did_not_happen(place: Place, face: Face) -> None:
    """A function that returns one is told apart only then: the call fails and can be repeated."""
    ledger, tool = place.open(), Tool()

    async def charge() -> str:
        return tool()

    def disguised() -> Any:
        return charge()

    with pytest.raises(AsyncTool, match="async in disguise"):
        face.do(ledger, "call", "charge", disguised, workflow="w")
    assert tool.runs == 0
    assert asyncio.run(ledger.acall("charge", charge, workflow="w")) == "A"


def partially(charge: Callable[..., Any]) -> Any:
    """The tool with an argument filled in."""
    return partial(charge, "A")


class Callable_:  # noqa: N801 - not typing's
    """An object whose call is a coroutine."""

    def __init__(self, charge: Any) -> None:
        self._charge = charge

    async def __call__(self, order: str = "A") -> Any:
        return await self._charge(order)


@pytest.mark.parametrize(
    "disguise",
    [partially, Callable_],
    ids=["a partial", "a callable object"],
)
def test_an_async_tool_in_disguise_is_refused_too(
    place: Place, tool: Tool, disguise: Callable[[Any], Any]
) -> None:
    """A coroutine that nobody awaits would be recorded as a success."""

    async def charge(order: str = "A") -> str:
        return tool(order)

    with pytest.raises(AsyncTool, match=r"await ledger\.acall"):
        place.open().call("charge", disguise(charge), workflow="w")


def test_a_closed_ledger_says_so(place: Place, face: Face) -> None:
    """Whatever it is asked; closing twice is nothing."""
    ledger, tool = place.open(), Tool()
    face.do(ledger, "call", "charge", tool, workflow="w")
    ledger.close()
    face.do(ledger, "close")
    questions: list[tuple[Any, ...]] = [
        ("call", "charge", tool, {"order": "B"}),
        ("call", "charge", tool, {}),
        ("effects",),
        ("pending",),
        ("recover",),
        ("verify",),
    ]
    for verb, *args in questions:
        options = {"workflow": "w"} if verb == "call" else {}
        with pytest.raises(LedgerClosed, match="open a new one"):
            face.do(ledger, verb, *args, **options)
    assert tool.runs == 1


# -- policies -----------------------------------------------------------------------------------

NO_DURATION: list[Any] = [
    -1,
    "1",
    True,
    float("nan"),
    float("inf"),
    timedelta(seconds=-1),
    1e30,
    [1],
]
NO_NAMES: list[Any] = ["order", 5, ("order", 5), ("",), {"order"}, None]
#: policies that another process could not find in the record
UNRECORDABLE = [
    Policy(approval=lambda _: True),
    Policy(approval=Approval(preconditions=lambda _: 1)),
    Policy(classify={ValueError: "failed"}),
    Policy(identity=("order",)),
    Policy(cost=lambda _: 1),
    Policy(budgets={"purse": "order.total"}),
    Policy(compensate="refund"),
]
WRONG: dict[type[Any], dict[str, list[Any]]] = {
    Policy: {
        "guarantee": ["exactly_once", 5, None, []],
        "identity": ["order", 5, ("order", 5), ("",), {"order"}],
        "volatile": NO_NAMES,
        "redact": NO_NAMES,
        "repeat": ["again", 5, True, []],
        "on_suspect": ["stop", None, 5],
        "approval": ["sometimes", 1, 0, [], {}],
        "retry": ["3", 1.5, True, -1, 0, {}],
        "classify": [
            5,
            "failed",
            {ValueError: "bad"},
            {"ValueError": "failed"},
            {int: "failed"},
            [],
        ],
        "probe": [5, "probe"],
        "quiet": [*NO_DURATION, None],
        "key_lifetime": [*NO_DURATION, None],
        "wait": [*NO_DURATION, None],
        "timeout": NO_DURATION,
        "budgets": [5, ("purse", 5), ("",), {"": None}, {5: None}],
        "risk": [5, "", True, ["money"]],
        "cost": [-1, "much", True, float("nan"), float("inf"), "1e30", []],
        "compensate": [5, "", True, ["refund"]],
    },
    Undo: {
        "steps": [5, "", ("refund", ""), (None,)],
        "policy": [5, "careful", *UNRECORDABLE],
        "when_in_doubt": [None, True, "never"],
        "window": NO_DURATION,
        "one_shot": ["yes", 1, None],
        "residue": [5, None, b"crumbs"],
        "reversibility": [None, "maybe", True],
        "before": [5, "image"],
    },
    Retry: {
        "attempts": [0, -1, 1.5, "3", True, None],
        "initial": [*NO_DURATION, None],
        "maximum": [*NO_DURATION, None],
        "jitter": [*NO_DURATION, None],
        "factor": [0, -2, "2", None, float("nan"), True],
        "within": NO_DURATION,
    },
    Approval: {
        "when": ["always", 1],
        "min_reversibility": ["certain", "irreversible", "", 1, True],
        "expires": [*NO_DURATION, None],
        "quorum": [0, -1, 1.5, "2", True, None],
        "wait": NO_DURATION,
        "preconditions": [5, "stock"],
        "after_expiry": ["again", None, 5],
    },
}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, v) for kind, fields in WRONG.items() for name, vs in fields.items() for v in vs],
    ids=lambda v: getattr(v, "__name__", re.sub(" at 0x[0-9a-f]+", "", repr(v))),
)
def test_every_field_of_a_policy_is_checked(kind: type[Any], name: str, value: Any) -> None:
    """A wrong type is an error where the policy is made, and names the field."""
    with pytest.raises(InvalidPolicy, match=rf"(?i){name}"):
        kind(**{name: value})


def test_the_table_above_leaves_no_field_out() -> None:
    """A new field needs its wrong values."""
    for kind, fields in WRONG.items():
        assert set(fields) == set(kind.__dataclass_fields__)


CONTRADICTIONS: list[dict[str, Any]] = [
    {"guarantee": Guarantee.RECONCILE},
    {"probe": ignore},
    {"identity": ("order",), "volatile": ("order",)},
    {"guarantee": Guarantee.READ_ONLY, "approval": True},
    {"guarantee": Guarantee.READ_ONLY, "compensate": "refund"},
]


@pytest.mark.parametrize("fields", CONTRADICTIONS)
def test_a_policy_does_not_contradict_itself(fields: dict[str, Any]) -> None:
    """Fields that exclude or need each other are checked together."""
    with pytest.raises(InvalidPolicy):
        Policy(**fields)
    with pytest.raises(InvalidPolicy):
        Policy().but(**fields)


# -- people -------------------------------------------------------------------------------------


def test_people_and_keys_are_checked_too(place: Place, face: Face, tool: Tool) -> None:
    """Whoever decides has a name, and a key is hex."""
    ledger = place.open()
    for verb in ("approve", "deny", "cancel"):
        with pytest.raises(InvalidCall, match="by"):
            face.do(ledger, verb, "ab", by="")
        for key in ("", "xyz", "%", None):
            with pytest.raises(InvalidCall, match="key"):
                face.do(ledger, verb, key, by="ann")
    with pytest.raises(InvalidCall, match="exactly one of"):
        face.do(ledger, "resolve", "ab", by="ann")
    with pytest.raises(InvalidCall, match="exactly one of"):
        face.do(ledger, "resolve", "ab", by="ann", succeeded=1, failed="why")
    with pytest.raises(InvalidCall, match="no status"):
        face.do(ledger, "effects", status="done")
    with pytest.raises(InvalidCall, match="reason"):
        face.do(ledger, "halt", by="ann", reason="")
    with pytest.raises(InvalidCall, match="mode"):
        face.do(ledger, "halt", by="ann", reason="x", mode="stop")
    with pytest.raises(InvalidCall, match="default tenant"):
        face.do(place.open(tenant="acme"), "halt", by="ann", reason="x", everywhere=True)


def test_a_digest_that_is_none_is_refused(place: Place, face: Face) -> None:
    """And not taken for another one that does not fit."""
    ledger = place.open()
    with pytest.raises(LedgerError) as caught:
        face.do(ledger, "call", "charge", lambda: None, workflow="w", policy=Policy(approval=True))
    key = getattr(caught.value, "key", "")
    for digest in ("xyz", 5):
        with pytest.raises(InvalidCall, match="digest"):
            face.do(ledger, "approve", key, by="ann", digest=digest)
