"""Loops over candidates, compiled to machine code.

A query has a few hundred candidates and some thirty things to work out about each: as NumPy calls that is mostly the
cost of calling, as one compiled loop it is a few microseconds. Compiled code is cached beside the source, or in the
user's cache directory where that cannot be written; `make setup` fills the cache, else the first import takes some
seconds.

A compiled function fills arrays that its caller made and returns numbers at most: an array that it makes itself and
returns costs 2 us or more to hand over.

A compiled function calls no compiled function of another file, and takes what other files define as arguments: the
cache knows only the file of the function itself, so that a change elsewhere would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(signature: str, *, reassociate: bool = False, unlocked: bool = False) -> Callable[[_Loop], _Loop]:
    """Compiles a function of arrays and numbers for exactly these types; others raise TypeError.

    Args:
        signature: In Numba's notation, such as "float64[::1](float64[::1], int64)".
        reassociate: Sums may be added in another order than written, the same one at every call; needed for loops over
            components to use vector instructions.
        unlocked: Other threads may run Python meanwhile. For what takes long: giving the lock away in every short call
            makes a busy server slower.
    """
    fastmath = {"reassoc", "contract"} if reassociate else False
    decorate = numba.njit(signature, cache=True, nogil=unlocked, error_model="numpy", fastmath=fastmath)
    return cast("Callable[[_Loop], _Loop]", decorate)
