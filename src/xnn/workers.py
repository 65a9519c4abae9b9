"""Worker processes that do not outlive what they work for."""

import multiprocessing
import os
import threading

_STATUS = 1


def end_with_parent() -> None:
    """End this worker process when the process that started it ends, however that ends.

    A pool whose owner is killed does not end: its workers finish what was handed to them and then
    wait for ever. In a process that nobody's multiprocessing started, nothing happens.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(_STATUS)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()
