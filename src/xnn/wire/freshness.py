"""A message counts once, and only near the time at which it was made."""

import heapq
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import final

from xnn.errors import BusyError, ConfigError, LimitError, StaleMessageError
from xnn.wire.clock import now_ms
from xnn.wire.message import Message


@final
class FreshnessWindow:
    """Remembers the nonces of as many messages as could still be replayed, and no more.

    A nonce is kept until its message is too old to be taken anyway. Nothing is forgotten early:
    where memory ends, new messages are refused instead. May be called from several threads.

    Args:
        window_s: How far a message's time may be from the server's, either way.
        max_nonces: Remembered in all; about 200 bytes each.
        max_nonces_per_sender: Of one API key.
        made_after_ms: Messages made before are refused. A server that starts has forgotten all
            nonces: given its start here, what was sent before cannot be replayed, save from
            devices whose clock is ahead.
        clock_ms: Milliseconds since 1970, UTC.

    Trust: server. Senders are authenticated before they come here.
    """

    def __init__(
        self,
        *,
        window_s: float = 300.0,
        max_nonces: int = 400_000,
        max_nonces_per_sender: int = 100_000,
        made_after_ms: int = 0,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        for name, value in (
            ("window_s", window_s),
            ("max_nonces", max_nonces),
            ("max_nonces_per_sender", max_nonces_per_sender),
        ):
            if value < 1:
                raise ConfigError(f"{name}={value:g} must be at least 1")
        self._window_ms = round(1000 * window_s)
        self._max_nonces, self._max_per_sender = max_nonces, max_nonces_per_sender
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._seen: dict[str, set[bytes]] = {}
        self._ends: list[tuple[int, str, bytes]] = []
        self._opened_ms = made_after_ms
        self._forgot_until_ms = 0
        """Latest `_clock_ms` at which nonces were let go."""

    def __len__(self) -> int:
        """Return how many nonces are remembered."""
        return len(self._ends)

    def check(self, message: Message, *, sender: str) -> None:
        """Take a message once.

        Args:
            message: Decoded, so authentic.
            sender: Name of the API key that it came under.

        Raises:
            StaleMessageError: Seen before, too old or from the future; says whose clock differs.
            LimitError: This sender has too many messages within the window.
            BusyError: All senders together have.
        """
        with self._lock:
            now = self._clock_ms()
            self._forget(now)
            self._check_time(message.timestamp_ms, now)
            seen = self._seen.get(sender, set())
            if message.nonce in seen:
                raise StaleMessageError(
                    "the message was received before: a replay; "
                    "to try again, make it anew with the same request_id"
                )
            self._check_room(len(seen))
            self._seen.setdefault(sender, set()).add(message.nonce)
            end = message.timestamp_ms + self._window_ms
            heapq.heappush(self._ends, (end, sender, message.nonce))

    def _forget(self, now: int) -> None:
        while self._ends and self._ends[0][0] < now:
            _, sender, nonce = heapq.heappop(self._ends)
            self._seen[sender].discard(nonce)
            if not self._seen[sender]:
                del self._seen[sender]
            self._forgot_until_ms = max(self._forgot_until_ms, now)

    def _check_time(self, made_ms: int, now: int) -> None:
        window_s = self._window_ms / 1000
        at = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="seconds")
        if made_ms < now - self._window_ms:
            raise StaleMessageError(
                f"the message was made {(now - made_ms) / 1000:.0f} s before the server's time "
                f"({at}), at most {window_s:g} s are accepted; it waited too long, or the device's "
                "clock is behind: set it and make the message anew"
            )
        if made_ms > now + self._window_ms:
            raise StaleMessageError(
                f"the message is from {(made_ms - now) / 1000:.0f} s after the server's time "
                f"({at}), at most {window_s:g} s are accepted; the device's clock is ahead: "
                "set it and make the message anew"
            )
        if made_ms < self._forgot_until_ms - self._window_ms:
            raise StaleMessageError(
                f"the server's clock went back by {(self._forgot_until_ms - now) / 1000:.0f} s and "
                "replays of that time cannot be told; set it and start the server again"
            )
        if made_ms < self._opened_ms:
            raise StaleMessageError(
                f"the message was made {(self._opened_ms - made_ms) / 1000:.0f} s before the "
                "server started; make it anew, and set the device's clock if this stays"
            )

    def _check_room(self, num_of_sender: int) -> None:
        if num_of_sender >= self._max_per_sender:
            raise LimitError(
                f"{num_of_sender} messages of this API key within {self._window_ms / 1000:g} s, "
                f"at most {self._max_per_sender} are remembered; send more slowly"
            )
        if len(self._ends) >= self._max_nonces:
            raise BusyError(
                f"{len(self._ends)} messages within {self._window_ms / 1000:g} s are all that "
                "can be remembered; try again later"
            )
