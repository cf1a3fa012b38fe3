"""Recipes: what each named way of ranking weighs, and why.

The unit of every weight is the fused evidence, which lies in 0..1: a boost of 0.2 lets a memory pass another whose
evidence is 0.2 better. The numbers are round on purpose: on long conversations, recall of the evidence for a question
moves by less than a point when any one of them is halved or doubled. That the large ones are there at all matters.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Final

from memoir_server.domain.search import Fusion, Recipe


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecipeSettings:
    """Weights of a recipe; 0 leaves a signal out. Compared by identity."""

    keyword: bool = True
    dense: bool = True
    graph: bool = True
    """Which arms are asked."""

    fusion: Fusion = Fusion.WEIGHTED
    keyword_weight: float = 0.5
    """Of the keyword arm; the dense arm has the rest. Both arms are normalised to 0..1 and neither alone is reliable:
    names, codes and dates need words, paraphrases need vectors."""

    previous_turn: float = 0.1
    next_turn: float = 0.1
    """Share of the evidence of the turn before and after that an episode takes over: people spread one thing over
    several messages."""
    answer: float = 0.1
    """The same, in addition, from a question just before by somebody else: the words of the query are often in the
    question, the fact is in the answer."""
    session: float = 0.4
    """Share of the best evidence of the session: a conversation about the topic makes its other turns likelier. Less
    than one, so that a turn's own evidence decides within a session."""
    speaker: float = 0.2
    """For what the one person named by the query said. A boost, never a filter: others talk about that person too."""
    date: float = 0.3
    """For memories from a time the query names. A boost, never a filter: people tell of things later."""
    question: float = 0.1
    """Taken from turns that end in a question: they ask for facts and rarely state them."""
    length: float = 0.1
    """For long texts: a message of two words resembles much and says little."""
    importance: float = 0.1
    """Times importance - 0.5, so at most 0.05 either way: it decides between equals."""
    graph_boost: float = 0.2
    """For memories that reach entities of the query in the graph; added, never a condition."""
    recency: float = 0.0
    """For the newest candidate, falling with age."""

    dense_first_kept: int = 5
    """The nearest memory is never ranked below this place: whatever speaks against it, a reader expects to see it.
    0: no such promise."""


_BALANCED: Final = RecipeSettings()

# Exactly one arm and nothing else: for callers who want the plain measure.
_PLAIN: Final = RecipeSettings(
    graph=False,
    previous_turn=0.0,
    next_turn=0.0,
    answer=0.0,
    session=0.0,
    speaker=0.0,
    date=0.0,
    question=0.0,
    length=0.0,
    importance=0.0,
    graph_boost=0.0,
    dense_first_kept=0,
)

_RECIPES: Final = {
    Recipe.BALANCED: _BALANCED,
    Recipe.SEMANTIC: replace(_PLAIN, keyword=False, keyword_weight=0.0),
    Recipe.KEYWORD: replace(_PLAIN, dense=False, keyword_weight=1.0),
    # More than all else together: one shared entity (half of the boost) comes before any memory without.
    Recipe.GRAPH: replace(_BALANCED, graph_boost=6.0, dense_first_kept=0),
    Recipe.RECENT: replace(_BALANCED, recency=0.1),
}


@functools.cache
def settings_for(recipe: Recipe, fusion: Fusion | None = None) -> RecipeSettings:
    """Settings of a recipe, with another fusion than its own where one is given. Recipes of a single arm have nothing
    to fuse and ignore it."""
    settings = _RECIPES[recipe]
    if fusion is None or fusion is settings.fusion or not (settings.keyword and settings.dense):
        return settings
    return replace(settings, fusion=fusion)
