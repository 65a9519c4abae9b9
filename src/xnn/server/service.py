"""What all routes share: student, gallery, accounts, limits and counts of one running service."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, final

import anyio
import anyio.to_thread
import numpy as np
from jaxtyping import Float, Float32

from xnn.accounts import Accounts, ApiKey, AuditEvent, AuditLog, secret_of
from xnn.errors import BusyError
from xnn.gallery import StoredGallery
from xnn.gallery.open_space import OpenSpace
from xnn.server.batching import StudentBatcher
from xnn.server.card import ServerCard
from xnn.server.limits import CallerLimits
from xnn.server.recorder import Recorder
from xnn.server.settings import ServeSettings
from xnn.server.student import StudentProcess
from xnn.server.telemetry import Telemetry
from xnn.server.thresholds import thresholds_of
from xnn.types import SubjectId
from xnn.wire.clock import now_ms
from xnn.wire.freshness import FreshnessWindow
from xnn.wire.limits import WireLimits
from xnn.wire.message import Message

T = TypeVar("T")
Fact = str | int | float | bool | None


@final
class Service:
    """One service: a student and a gallery, and everything between them.

    Args:
        settings: All of them.
        card: Of the student.
        student: Runs it.
        gallery: Its database holds accounts and audit log as well.

    Trust: server.
    """

    def __init__(
        self,
        settings: ServeSettings,
        card: ServerCard,
        student: StudentProcess,
        gallery: StoredGallery,
    ) -> None:
        self.settings, self.card, self.gallery = settings, card, gallery
        self._student = student
        self.accounts = Accounts(gallery.database)
        # An erased subject's name must not live on in a log that nobody can erase from.
        self.audit = AuditLog(gallery.database, pseudonym_key=gallery.vault.pseudonym_key())
        self._recorder = Recorder(self.audit)
        self.telemetry = Telemetry()
        self.scheme = str(card.training.get("preset", "unknown"))
        self.dtypes = card.dtypes
        self.thresholds = thresholds_of(card, settings.thresholds)
        self.wire_limits = WireLimits.for_bundle(card.m, card.e, max_records=settings.max_records)
        self.freshness = FreshnessWindow(window_s=settings.replay_window_s, made_after_ms=now_ms())
        self.limits = CallerLimits(
            requests_per_s=settings.requests_per_s,
            request_burst=settings.request_burst,
            probes_per_hour=settings.probes_per_hour,
            probe_burst=settings.probe_burst,
        )
        self._batcher = StudentBatcher(
            student.ask,
            max_batch=settings.max_batch,
            wait_s=settings.batch_wait_ms / 1000,
            max_queued=settings.max_queued,
            on_batch=self.telemetry.batch,
        )
        student.on_seconds = self.telemetry.student_ran
        self._threads = anyio.CapacityLimiter(settings.workers)
        self.draining = False
        self.telemetry.watch(
            "xnn_queued_records",
            "Records that wait for the student.",
            lambda: self._batcher.queued_records,
        )
        self.telemetry.watch(
            "xnn_draining", "1 after a stop signal, else 0.", lambda: float(self.draining)
        )

    async def embed(self, records: Float[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b k"]:
        """Return the student's embeddings, batched with those of other requests.

        Raises:
            BusyError: Too many records wait already.
            ShapeError: The answer is not finite.
        """
        return await asyncio.wrap_future(
            await self.in_thread(lambda: self._batcher.submit(records))
        )

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Do what waits for a disk or a lock beside the event loop."""
        return await anyio.to_thread.run_sync(call, limiter=self._threads)

    async def identify(self, api_key: str) -> tuple[ApiKey, bytes]:
        """Return what is known of an API key, and its secret.

        Raises:
            AccessError: It is none of this service, or revoked.
        """
        key = await self.in_thread(lambda: self.accounts.authenticate(api_key))
        return key, secret_of(api_key)

    async def audited(
        self,
        key: ApiKey,
        action: str,
        subject_id: SubjectId | None,
        call: Callable[[], T],
        **facts: Fact,
    ) -> T:
        """Do something that the audit log must hold, refused or done.

        The entry is on disk before the answer leaves: nobody learns a score unrecorded.
        """

        def do_and_record() -> T:
            outcome = "done"
            try:
                return call()
            except Exception as error:
                outcome = type(error).__name__
                raise
            finally:
                if outcome != BusyError.__name__:  # nothing was done, and the log is busy too
                    self._recorder.record(self._event(key, action, subject_id, outcome, facts))

        return await self.in_thread(do_and_record)

    async def recognised(
        self,
        key: ApiKey,
        action: str,
        subject_id: SubjectId | None,
        message: Message,
        compare: Callable[[OpenSpace, Float32[np.ndarray, "b k"]], T],
        *,
        far: float,
    ) -> tuple[T, OpenSpace]:
        """Embed records and compare them, with an entry in the audit log.

        The entry `accepted` is written, and the database asked all that it is asked, while the
        student runs: by the thread that has handed the records over, since two threads would
        wait for each other's hold on the interpreter. The entry is on disk before the answer
        leaves; a failure afterwards has a second one.

        Args:
            key: Who asks.
            action: `verify` or `search`.
            subject_id: Whom the records are compared with, or None for all.
            message: Whose records.
            compare: Of the embeddings, with templates of the message's bundle and key; called in a
                thread.
            far: False accept rate asked for.

        Returns:
            What `compare` returned, and what it was given to compare with.
        """
        facts: dict[str, Fact] = {"records": len(message.records), "far": far}

        def record(outcome: str) -> None:
            self._recorder.record(self._event(key, action, subject_id, outcome, facts))

        def begin() -> tuple[Future[np.ndarray], OpenSpace]:
            asked = self._batcher.submit(message.records)
            record("accepted")
            opened = self.gallery.opened(
                key.tenant,
                bundle_id=message.bundle_id,
                key_id=message.key_id,
                subject_id=subject_id,
            )
            return asked, opened

        try:
            asked, opened = await self.in_thread(begin)
            probes = await asyncio.wrap_future(asked)
            return await self.in_thread(lambda: compare(opened, probes)), opened
        except Exception as error:
            if not isinstance(error, BusyError):
                outcome = type(error).__name__
                await self.in_thread(lambda: record(outcome))
            raise

    def check_ready(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            BusyError: It does not answer.
        """
        self.gallery.database.ping()

    def close(self) -> None:
        """Finish what waits for the student, then let go of the database."""
        self._batcher.close()
        self._student.close()
        self.gallery.close()

    def _event(
        self,
        key: ApiKey,
        action: str,
        subject_id: SubjectId | None,
        outcome: str,
        facts: dict[str, Fact],
    ) -> AuditEvent:
        subject = None if subject_id is None else self.audit.name_of(key.tenant, subject_id)
        return AuditEvent(
            tenant=key.tenant,
            actor=key.name,
            action=action,
            subject=subject,
            outcome=outcome,
            facts=facts,
        )
