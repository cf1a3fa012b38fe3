"""Port: texts to vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vector, Vectors


class EmbedderUnavailable(Exception):
    """The embedder cannot answer now: it is closed, its model cannot be run, or its service is down.

    Attributes:
        model: ``name@version`` of the model that was asked.
        reason: What went wrong, in one sentence.
        fix: What the operator can do about it.
        lasting: True when asking again is of no use: something has to be changed.
        busy: True when a service works but limits this caller: no outage.
        retry_after: Seconds after which it makes sense to ask again, where that is known.
    """

    def __init__(
        self,
        model: str,
        reason: str,
        fix: str,
        *,
        lasting: bool = False,
        busy: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"embedder {model}: {reason} ({fix})")
        self.model = model
        self.reason = reason
        self.fix = fix
        self.lasting = lasting
        self.busy = busy
        self.retry_after = retry_after


class EmbedderMismatch(EmbedderUnavailable):
    """What answers is not the model that the settings describe: another dimension, or other weights. Its vectors must
    not be mixed with those that are stored.

    Attributes:
        key: Of the settings.
        value: What stands there.
    """

    def __init__(self, model: str, reason: str, fix: str, *, key: str, value: object) -> None:
        super().__init__(model, reason, fix, lasting=True)
        self.key = key
        self.value = value


class Embedder(ABC):
    """Turns texts into unit vectors with one fixed model.

    The contract every implementation keeps (``server/memoir_conformance/embedder_suite.py`` checks it):

    * **Order**: row ``i`` of the result belongs to ``texts[i]``; equal texts get equal rows.
    * **Form**: float32, shape ``(len(texts), model.dimension)``, C-contiguous, every row finite and of unit L2 norm.
      No texts give shape ``(0, model.dimension)`` without touching the model.
    * **Independence**: a text's vector depends on the text, the kind and the model alone, bit for bit: never on the
      other texts of a batch, on their order, or on calls running beside it.
    * **Any text**: the empty text, control characters, and texts longer than the model reads (cut, not refused) all
      embed.
    * **Ownership**: the array belongs to the caller, who may change it; a later call is not affected.
    * **Concurrency**: any number of calls may run at once on the event loop that first used the embedder. The loop is
      never blocked for the time the model computes.
    * **Deadlines**: the caller's deadline is the cancellation of the awaiting task. A cancelled call harms no other
      call and stops costing as soon as the piece of work in hand ends.
    """

    @property
    @abstractmethod
    def model(self) -> EmbeddingModel:
        """The model all vectors of this embedder come from. Constant over the embedder's life."""

    @abstractmethod
    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        """Embed ``texts`` for use as ``kind``.

        Raises:
            EmbedderUnavailable: If the model cannot answer, or after :meth:`close`.
        """

    def at_hand(self, text: str, *, kind: EmbedKind) -> Vector | None:
        """The vector that `embed` would give for the text, when it lies in memory already; None otherwise: embed it.
        Never waits. The array may be shared and read-only: it must not be changed. An embedder that keeps nothing has
        nothing at hand."""
        return None

    def all_at_hand(self, texts: Sequence[str], *, kind: EmbedKind) -> list[Vector | None]:
        """`at_hand` of each text."""
        return [self.at_hand(text, kind=kind) for text in texts]

    async def purge(self, texts: Sequence[str]) -> None:  # noqa: B027 - most embedders have nothing to do
        """Forget whatever is kept of ``texts``, in calls in flight too; used by erasure. An embedder that keeps nothing
        has nothing to do.

        Raises:
            CacheUnavailable: If something may still be kept; the erasure tries again.
        """

    def forget(self) -> None:  # noqa: B027 - most embedders have nothing to do
        """Drop every vector that lies in this process's memory, also those that calls in flight are about to keep
        there. For a server that nobody hears of any more: an erasure does not wait for it. Never waits."""

    async def open(self) -> None:  # noqa: B027 - most embedders know all they need
        """Checks what can only be known by asking. Called once, before anything is embedded. A service that does not
        answer is no mistake of the settings: it is checked when it is first used.

        Raises:
            EmbedderMismatch: If what answers is not the model that the settings describe.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give up threads, files and connections. Calls in flight end with EmbedderUnavailable or their result;
        idempotent."""
