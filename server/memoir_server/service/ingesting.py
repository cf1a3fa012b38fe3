"""Inference that goes on after its call: accepted work is carried out in the background until it is done or given up.

The ledger keeps the work, so that it survives the server; what became of it is set by the very transaction that stores
its memories (`Mutation.ingestion`), so that it is neither lost nor done twice.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from opentelemetry import metrics, trace

from memoir_server.domain.change import Change
from memoir_server.domain.errors import IngestionLost, StoreUnavailable
from memoir_server.domain.inference.failure import InferenceFailed
from memoir_server.domain.inference.order import Order
from memoir_server.domain.inference.usage import Usage
from memoir_server.domain.ingestion import Ingestion, IngestionEnd, IngestionState
from memoir_server.domain.memory import Scope
from memoir_server.domain.store import Durability
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.embedder import EmbedderUnavailable
from memoir_server.ports.ingestions import IngestionPosition
from memoir_server.ports.ledger import HistoryQuery, Ledger
from memoir_server.service.call import Call
from memoir_server.service.orders import decode_work, encode_work

logger = logging.getLogger(__name__)
tracer = trace.get_tracer("memoir_server.ingesting")

LOOK_SECONDS: Final = 1.0
"""How often the ledger is looked at without news: work that falls due, or whose server has died."""
ATTEMPT_SECONDS: Final = 300.0
"""Longest that one attempt may take."""
FIRST_RETRY_SECONDS: Final = 2.0
"""Delay before the second attempt; doubles with each further one."""
LONGEST_RETRY_SECONDS: Final = 300.0
MAX_DEFECTS: Final = 5
"""Attempts of work that fails for a reason nobody has foreseen."""
GIVE_UP_SECONDS: Final = 24 * 3600.0
"""How long work waits for a model that is out of reach, unless the operator says otherwise."""
WORKERS: Final = 4
"""Ingestions that one server carries out at once, unless the operator says otherwise."""

_meter = metrics.get_meter("memoir_server.ingesting")
_accepted = _meter.create_counter("memoir.ingestions.accepted", "{ingestion}", "Inference work accepted")
_ended = _meter.create_counter("memoir.ingestions.ended", "{ingestion}", "Inference work done or given up")
_retries = _meter.create_counter("memoir.ingestions.retries", "{attempt}", "Attempts that are to be repeated")
_running = _meter.create_up_down_counter("memoir.ingestions.running", "{ingestion}", "Inference work in hand")
_duration = _meter.create_histogram("memoir.ingestions.duration", "s", "From acceptance to the end")


class Inference(Protocol):
    """What carries the work out. Both end the ingestion in the transaction that stores what they store."""

    async def remember(self, order: Order, call: Call, *, ending: IngestionEnd | None = None) -> object:
        """Infers and commits. Raises InferenceFailed, IngestionLost, StoreUnavailable, EmbedderUnavailable."""
        ...

    async def keep(
        self, order: Order, call: Call, why: str, *, ending: IngestionEnd | None = None, usage: Usage | None = None
    ) -> object:
        """Keeps the messages as they are, because inference was given up. Raises IngestionLost, StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Ingested:
    """An ingestion, and the changes of its commit as far as they are not erased."""

    ingestion: Ingestion
    changes: Sequence[Change] = ()


class Ingesting:
    """Accepts inference work and carries it out.

    Args:
        workers: Ingestions at once.
        give_up_seconds: How long work waits for a model that is out of reach.
        jitter: Draws from 0 to 1: delays between attempts are spread by it.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        inference: Inference,
        clock: Clock,
        ids: IdSource,
        workers: int = WORKERS,
        give_up_seconds: float = GIVE_UP_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._inference = inference
        self._clock = clock
        self._ids = ids
        self._workers = workers
        self._give_up_us = round(give_up_seconds * 1_000_000)
        self._jitter = jitter
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(workers)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins with what is due."""
        self._task = asyncio.create_task(self._serve(), name="ingesting")

    async def stop(self) -> None:
        """Ends the attempts in hand; they are begun again by a server that lives."""
        tasks = [task for task in (self._task, *self._at_work.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = None

    async def accept(self, order: Order, call: Call) -> Ingestion:
        """Keeps the order; it is durable on return. A duplicate of the request gets the ingestion accepted first.

        Raises RequestIdReused, IngestionNotFound (the first was erased since), StoreUnavailable.
        """
        ingestion = Ingestion(
            namespace=order.namespace,
            ingestion_id=self._ids.new_id(),
            scope=order.scope,
            create_time=order.accepted,
            update_time=order.accepted,
            due=order.accepted,
            work=encode_work(order, call),
        )
        accepted = await self._ledger.accept_ingestion(ingestion, key=call.idempotency)
        if accepted.ingestion_id == ingestion.ingestion_id:
            _accepted.add(1)
        return accepted

    async def get(self, namespace: str, ingestion_id: str) -> Ingested:
        """Raises IngestionNotFound."""
        return await self._with_changes(await self._ledger.get_ingestion(namespace, ingestion_id))

    async def list(
        self,
        namespace: str,
        scope: Scope,
        states: Collection[IngestionState],
        *,
        after: IngestionPosition | None,
        limit: int,
    ) -> Sequence[Ingested]:
        """One page, newest first."""
        found = await self._ledger.list_ingestions(namespace, scope, states, after=after, limit=limit)
        return [await self._with_changes(ingestion) for ingestion in found]

    async def _with_changes(self, ingestion: Ingestion) -> Ingested:
        if ingestion.first > ingestion.last:
            return Ingested(ingestion)
        query = HistoryQuery(after=ingestion.first - 1, until=ingestion.last)
        size = ingestion.last - ingestion.first + 1
        return Ingested(ingestion, await self._ledger.history(ingestion.namespace, query, limit=size))

    async def _serve(self) -> None:
        while True:
            await self._free.acquire()
            try:
                found = await self._ledger.claim_ingestion(self._at_work, now=self._clock.now())
            except StoreUnavailable as outage:
                self._free.release()
                logger.warning("accepted inference work is waiting: %s", outage)
                await asyncio.sleep(LOOK_SECONDS)
                continue
            except BaseException:
                self._free.release()
                raise
            if found is None:
                self._free.release()
                with suppress(StoreUnavailable):
                    await self._ledger.wait_for_ingestions(LOOK_SECONDS)
                continue
            task = asyncio.create_task(self._attempt(found), name=f"ingestion-{found.ingestion_id}")
            self._at_work[found.ingestion_id] = task
            task.add_done_callback(lambda _, ingestion_id=found.ingestion_id: self._left(ingestion_id))  # type: ignore[misc]

    def _left(self, ingestion_id: str) -> None:
        del self._at_work[ingestion_id]
        self._free.release()

    async def _attempt(self, ingestion: Ingestion) -> None:
        _running.add(1)
        try:
            with tracer.start_as_current_span(
                "ingest",
                attributes={"memoir.namespace": ingestion.namespace, "memoir.attempts": ingestion.attempts},
            ):
                await self._carry_out(ingestion)
        except IngestionLost as lost:
            # Taken over by another server, or cancelled by a reset: whatever was found is not wanted.
            logger.info("%s", lost)
        except StoreUnavailable as outage:
            # It stays RUNNING, is claimed again, and then either begun again or found to be done.
            logger.warning("ingestion %s begins anew: %s", ingestion.ingestion_id, outage)
            await asyncio.sleep(LOOK_SECONDS)
        except Exception as defect:
            # Not even its messages could be kept. Nothing is lost: it waits, and says why.
            logger.exception("ingestion %s cannot be ended", ingestion.ingestion_id)
            with suppress(IngestionLost, StoreUnavailable):
                await self._postpone(ingestion, f"the server could not end it: {type(defect).__name__}", None)
        finally:
            _running.add(-1)

    async def _carry_out(self, ingestion: Ingestion) -> None:
        loop = asyncio.get_running_loop()
        order, call = decode_work(ingestion, loop.time() + ATTEMPT_SECONDS)
        # Nobody waits for the projections.
        call = replace(call, durability=Durability.ACCEPTED)
        ending = IngestionEnd(ingestion.ingestion_id, ingestion.attempts)
        try:
            await self._inference.remember(order, call, ending=ending)
        except EmbedderUnavailable as outage:
            await self._postpone(ingestion, str(outage), None)
        except InferenceFailed as failure:
            late = self._clock.now() - ingestion.create_time >= self._give_up_us
            if failure.passing and not late:
                await self._postpone(ingestion, failure.why, failure.retry_after)
                return
            await self._give_up(ingestion, order, call, failure.why, failure.usage)
        except (IngestionLost, StoreUnavailable):
            raise
        except Exception as defect:
            logger.exception("ingestion %s failed", ingestion.ingestion_id)
            why = f"the server could not carry it out: {type(defect).__name__}"
            if ingestion.attempts < MAX_DEFECTS:
                await self._postpone(ingestion, why, None)
            else:
                await self._give_up(ingestion, order, call, why, None)
        else:
            self._note_end(ingestion, IngestionState.SUCCEEDED)

    async def _postpone(self, ingestion: Ingestion, why: str, retry_after: float | None) -> None:
        delay = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(ingestion.attempts - 1, 16))
        # What was named by the service is not undercut; the rest is spread, so that not all come back at once.
        seconds = max(retry_after or 0.0, delay * (0.5 + self._jitter() / 2))
        now = self._clock.now()
        await self._ledger.postpone_ingestion(ingestion, until=now + math.ceil(seconds * 1_000_000), error=why, now=now)
        _retries.add(1)
        logger.warning("ingestion %s is tried again in %.1f s: %s", ingestion.ingestion_id, seconds, why)

    async def _give_up(self, ingestion: Ingestion, order: Order, call: Call, why: str, usage: Usage | None) -> None:
        ending = IngestionEnd(ingestion.ingestion_id, ingestion.attempts, why)
        await self._inference.keep(order, call, why, ending=ending, usage=usage)
        self._note_end(ingestion, IngestionState.FAILED)
        logger.error("ingestion %s was given up, its messages are kept as they are: %s", ingestion.ingestion_id, why)

    def _note_end(self, ingestion: Ingestion, state: IngestionState) -> None:
        attributes = {"memoir.state": state.name.lower()}
        _ended.add(1, attributes)
        _duration.record(max(0, self._clock.now() - ingestion.create_time) / 1_000_000, attributes)
