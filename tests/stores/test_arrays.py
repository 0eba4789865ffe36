"""What is written as a PostgreSQL array is what PostgreSQL reads."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.stores._sql import array

pytestmark = pytest.mark.postgres

TYPES = {"bytes": "bytea", "int": "bigint", "str": "text"}
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
COLUMNS = st.one_of(
    st.tuples(st.just("str"), st.lists(st.none() | TEXT)),
    st.tuples(st.just("int"), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1))),
    st.tuples(st.just("bytes"), st.lists(st.none() | st.binary())),
)


@pytest.fixture(scope="module")
def server(postgres_url: str) -> Any:
    """One connection."""
    with psycopg.connect(postgres_url, autocommit=True) as db:
        yield db


def _read(server: Any, kind: str, values: list[Any]) -> list[Any]:
    text = array(values, kind)
    return list(server.execute(f"SELECT CAST(%s AS {TYPES[kind]}[])", [text]).fetchone()[0])


@settings(max_examples=300, deadline=None)
@given(COLUMNS)
def test_an_array_comes_back_as_it_was(server: Any, column: tuple[str, list[Any]]) -> None:
    """Whatever the column holds."""
    kind, values = column
    assert _read(server, kind, values) == values


@pytest.mark.parametrize(
    "text",
    ["", "NULL", "null", "{}", "a,b", '"', '\\"', "\\", "\\\\", " ", "\n", "{1,2}", "é", "🧾", "'"],
)
def test_what_looks_like_syntax_is_text(server: Any, text: str) -> None:
    """Quotes, braces, commas, backslashes and the word for nothing."""
    assert _read(server, "str", [text, None, text]) == [text, None, text]
