"""Makers: what they make is what calling the class makes."""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.change import Change, Draft
from memoir_server.domain.conversation import NewMemory
from memoir_server.domain.making import maker
from memoir_server.domain.memory import Memory, Scope

CLASSES: list[Any] = [Memory, Scope, NewMemory, Draft, Change]


@st.composite
def arguments(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """A class and values for some of its fields, all that it needs among them."""
    cls = draw(st.sampled_from(CLASSES))
    given = {f.name: draw(st.integers() | st.text(max_size=3)) for f in fields(cls) if draw(st.booleans())}
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    return cls, dict.fromkeys(needed, 0) | given


@given(arguments())
def test_it_makes_what_the_class_makes(call: tuple[Any, dict[str, Any]]) -> None:
    cls, values = call
    made = maker(cls)(**values)
    assert made == cls(**values)
    assert type(made) is cls
    assert repr(made) == repr(cls(**values))
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(cls)[0].name, 1)


def test_by_position_and_by_name() -> None:
    assert maker(Scope)("ana", session_id="s") == Scope("ana", None, "s")


def test_defaults_are_made_anew() -> None:
    make = maker(NewMemory)
    one, two = make(text="a", scope=Scope()), make(text="a", scope=Scope())
    assert one == two
    assert one.metadata is not two.metadata


def test_wrong_arguments_are_refused() -> None:
    make: Any = maker(NewMemory)
    with pytest.raises(TypeError, match="scope"):
        make(text="a")
    with pytest.raises(TypeError, match="unknown"):
        make(text="a", scope=Scope(), unknown=1)


@dataclass(slots=True)
class _Open:
    x: int


@dataclass(frozen=True)
class _WithoutSlots:
    x: int


@dataclass(frozen=True, slots=True)
class _Checked:
    x: int

    def __post_init__(self) -> None:
        raise AssertionError("not reached")


@dataclass(frozen=True, slots=True)
class _Hidden:
    x: int = field(init=False, default=1)


@pytest.mark.parametrize("cls", [_Open, _WithoutSlots, _Checked, _Hidden, int])
def test_other_classes_are_refused(cls: Any) -> None:
    with pytest.raises(TypeError, match=cls.__name__):
        maker(cls)
