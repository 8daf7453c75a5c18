"""The ledger of a pool: shows that every request has exactly one outcome."""

from __future__ import annotations

from collections import Counter

from transport.schedules import Request
from transport.wire import Kind

_OUTCOMES = {kind: kind.name.lower() for kind in Kind}


class Ledger:
    """Shows that every request has exactly one outcome.

    A request is in the books from ``open`` to ``close``, under its client and number. Numbers of a
    client ascend; one that comes again is a repeat of a request that is open (nothing to do), or of
    one that is closed, whose outcome did not arrive: then it is opened again, and counted.

    Attributes:
        counts: entries and exits, by kind.
        rows: of all open requests.
        size: bytes of all open requests.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.rows = self.size = 0
        self._sizes: Counter[bytes] = Counter()
        self._number = 0  # of open requests
        self._open: dict[bytes, dict[int, Request]] = {}
        self._highest: dict[bytes, int] = {}

    def has(self, request: Request) -> bool:
        """Whether a request of this client and number is open."""
        return request.number in self._open.get(request.client, ())

    def open(self, request: Request) -> bool:
        """Enters a request; False if it is there already."""
        entries = self._open.setdefault(request.client, {})
        if request.number in entries:
            self.counts["repeated"] += 1
            return False
        highest = self._highest.get(request.client, -1)
        self.counts["reopened" if request.number <= highest else "opened"] += 1
        self._highest[request.client] = max(highest, request.number)
        entries[request.number] = request
        self._weigh(request, 1)
        return True

    def close(self, request: Request, kind: Kind) -> bool:
        """Enters an outcome; False if there is one already."""
        if not request.open:
            return False
        request.open = False
        entries = self._open[request.client]
        del entries[request.number]
        self._weigh(request, -1)
        if not entries:  # Whoever is silent costs no look any more.
            del self._open[request.client], self._sizes[request.client]
        self.counts[_OUTCOMES[kind]] += 1
        return True

    def forget(self, client: bytes) -> list[Request]:
        """Closes the account of a client that has gone; returns what it had open."""
        left = list(self._open.pop(client, {}).values())
        self._highest.pop(client, None)
        for request in left:
            request.open = False
            self._weigh(request, -1)
        self._sizes.pop(client, None)
        self.counts["abandoned"] += len(left)
        return left

    def open_requests(self, client: bytes | None = None) -> int:
        """How many requests, of one client or of all, have no outcome yet."""
        if client is not None:
            return len(self._open.get(client, ()))
        return self._number

    def waiting(self) -> list[bytes]:
        """The clients that have open requests."""
        return list(self._open)

    def open_size(self, client: bytes) -> int:
        """Bytes of the open requests of a client."""
        return self._sizes[client]

    def balance(self) -> int:
        """Entries less exits less open ones: 0, or the books are wrong."""
        counts = self.counts
        entered = counts["opened"] + counts["reopened"]
        left = counts["reply"] + counts["error"] + counts["drop"] + counts["abandoned"]
        return entered - left - sum(map(len, self._open.values()))

    def _weigh(self, request: Request, sign: int) -> None:
        self._number += sign
        self.rows += sign * request.rows
        self.size += sign * request.size
        self._sizes[request.client] += sign * request.size
