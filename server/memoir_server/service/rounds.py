"""The doctor's rounds: checks every namespace now and then, and says in metrics and the log what is wrong.

Off by default: a check reads what the stores hold. It repairs nothing; that is an operator's decision.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from contextlib import suppress

from opentelemetry import metrics

from memoir_server.domain.consistency import CheckSummary, Finding
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.ports.ledger import Ledger
from memoir_server.service.doctor import Doctor

logger = logging.getLogger(__name__)
meter = metrics.get_meter("memoir.doctor")

_examined = meter.create_counter("memoir.doctor.examined", unit="{memory}", description="Memories examined on rounds")
_findings = meter.create_counter(
    "memoir.doctor.findings", unit="{finding}", description="Disagreements with the ledger found on rounds"
)
_rounds = meter.create_counter("memoir.doctor.rounds", unit="{round}", description="Rounds, by outcome")


class Rounds:
    """Checks in the background.

    Args:
        doctor: Who checks.
        ledger: Whose namespaces.
        seconds: Time from the end of a round to the next, halved at random so that servers do not go in step; 0 never.
        sample: Memories of each namespace that a round examines, chosen at random; 0 means all.
    """

    def __init__(self, doctor: Doctor, ledger: Ledger, *, seconds: float, sample: int) -> None:
        self._doctor = doctor
        self._ledger = ledger
        self._seconds = seconds
        self._sample = sample
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the rounds, if there are to be any."""
        if self._seconds:
            self._task = asyncio.create_task(self._serve(), name="doctor-rounds")

    async def stop(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def go(self) -> int:
        """One round; returns how many findings it had. Raises StoreUnavailable."""
        found = 0
        for namespace in await self._ledger.namespaces():
            kinds: Counter[tuple[str, str]] = Counter()
            async for item in self._doctor.check(namespace, Scope(), sample=self._sample):
                if isinstance(item, Finding):
                    kinds[item.store.name.lower(), item.kind.name.lower()] += 1
                elif isinstance(item, CheckSummary):
                    _examined.add(item.examined)
            for (store, kind), count in kinds.items():
                _findings.add(count, {"memoir.store": store, "memoir.finding": kind})
                logger.warning(
                    "the %s of namespace %s disagrees with the ledger: %d %s; run memoir doctor --repair",
                    store,
                    namespace,
                    count,
                    kind,
                )
            found += kinds.total()
        return found

    async def _serve(self) -> None:
        while True:
            await asyncio.sleep(self._seconds * random.uniform(0.5, 1.0))
            try:
                found = await self.go()
                _rounds.add(1, {"memoir.outcome": "findings" if found else "clean"})
            except StoreUnavailable as outage:
                _rounds.add(1, {"memoir.outcome": "unavailable"})
                logger.warning("the doctor's round was broken off: %s", outage)
            except Exception:
                # A background task that silently stops is the worst of failures.
                _rounds.add(1, {"memoir.outcome": "failed"})
                logger.exception("the doctor's round failed")
