"""Reading ahead: the next batches are fetched by another thread while the last one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")


class _Shelf(Generic[Item]):
    """What the two threads share.

    The reading thread must not see the iterator itself: one that is dropped could then never be
    collected, and its thread would wait for ever.
    """

    def __init__(self, most: int) -> None:
        self.changed = Condition()
        self.items: deque[Item] = deque()
        self.most = most
        self.error: BaseException | None = None
        self.ended = False
        self.stopped = False

    def put(self, item: Item) -> bool:
        """Wait for a free place; False where nobody wants more."""
        with self.changed:
            while len(self.items) >= self.most and not self.stopped:
                self.changed.wait()
            if not self.stopped:
                self.items.append(item)
                self.changed.notify_all()
            return not self.stopped

    def end(self, error: BaseException | None) -> None:
        with self.changed:
            self.error, self.ended = error, True
            self.changed.notify_all()

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.items.clear()
            self.changed.notify_all()


class Prefetched(Iterator[Item]):
    """An iterator that is one thread ahead of its consumer; see `prefetch`."""

    def __init__(self, source: Iterable[Item], most: int) -> None:
        self._shelf: _Shelf[Item] = _Shelf(most)
        # A daemon: a program that ends must not wait for batches that nobody will take.
        self._thread = Thread(
            target=_fill, args=(source, self._shelf), name="millrace-prefetch", daemon=True
        )
        self._thread.start()

    def __next__(self) -> Item:
        shelf = self._shelf
        with shelf.changed:
            while not shelf.items and not shelf.ended and not shelf.stopped:
                shelf.changed.wait()
            if shelf.items:
                item = shelf.items.popleft()
                shelf.changed.notify_all()
                return item
            error, shelf.error = shelf.error, None
        self.close()
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop reading and wait until the thread has ended and closed the source."""
        self._shelf.stop()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._shelf.stop()  # without waiting: this may run in any thread, at any time


def prefetch(source: Iterable[Item], most: int = 2) -> Prefetched[Item]:
    """Read ahead in one thread.

    Parameters
    ----------
    source : iterable
        It is iterated in the other thread only, and closed there where it has a ``close``.
    most : int
        So many items at most wait to be taken; one more is being read.

    Returns
    -------
    Prefetched
        The same items in the same order. What the source raises is raised here, after the items
        before it. ``close()``, the end of a ``with`` block or dropping the iterator stops the thread.

    Raises
    ------
    ValueError
        `most` is less than 1.

    Examples
    --------
    >>> with prefetch(range(4)) as numbers:
    ...     list(numbers)
    [0, 1, 2, 3]
    """
    if most < 1:
        raise ValueError(f"prefetch needs room for at least one item, got {most}")
    return Prefetched(source, most)


def _fill(source: Iterable[Item], shelf: _Shelf[Item]) -> None:
    error: BaseException | None = None
    iterator: Any = None
    try:
        iterator = iter(source)
        for item in iterator:
            if not shelf.put(item):
                break
            del item  # not kept alive here while the next one is read
    except BaseException as raised:  # whatever it is, the consumer must see it
        error = raised
    try:
        if hasattr(iterator, "close"):
            iterator.close()
    except BaseException as raised:
        error = error or raised
    shelf.end(error)
