"""Synthetic memories and queries: the same on every run, of any size."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

_SUBJECTS = (
    "my sister,our neighbour,the new manager,my doctor,the choir,our landlord,the dog,my cousin,the team,dad".split(",")
)
_VERBS = "bought,lost,repaired,painted,cancelled,planned,remembered,sold,borrowed,moved,liked,missed".split(",")
_OBJECTS = (
    "a red bicycle,the kitchen table,two concert tickets,an old camera,the garden shed,a winter coat,the train pass,"
    "a box of oranges,the piano,a blue sofa,the office keys,a tent,the birthday cake,a violin,the spare room"
).split(",")
_PLACES = (
    "in Leeds,near the station,at the market,by the river,in Ghent,at work,upstairs,on the coast,in town,abroad".split(
        ","
    )
)
_TIMES = "on Monday,last spring,before lunch,in March,two weeks ago,after the storm,yesterday,in the evening".split(",")


@dataclass(frozen=True, slots=True)
class Corpus:
    """`users` users with the same number of memories each."""

    users: int
    memories_per_user: int
    seed: int = 7

    def user(self, number: int) -> str:
        """Id of the user with that number."""
        return f"user-{number:04d}"

    def texts(self, number: int) -> Iterator[str]:
        """The memories of one user."""
        chance = random.Random(f"{self.seed}/{number}")
        for i in range(self.memories_per_user):
            yield (
                f"{chance.choice(_SUBJECTS)} {chance.choice(_VERBS)} {chance.choice(_OBJECTS)} "
                f"{chance.choice(_PLACES)} {chance.choice(_TIMES)}, note {i}"
            )

    def queries(self, count: int, seed: int = 0) -> list[tuple[str, str]]:
        """(user id, query) pairs of random users, all with different texts; at most some ten thousand."""
        chance = random.Random(f"{self.seed}/queries/{seed}")
        found: dict[str, str] = {}
        while len(found) < count:
            words = [chance.choice(part) for part in (_VERBS, _OBJECTS, _PLACES, _TIMES)]
            found.setdefault(f"who {' '.join(words)}?", self.user(chance.randrange(self.users)))
        return [(user, query) for query, user in found.items()]
