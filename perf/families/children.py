"""One task at a time, each in a process of its own: bounded in time and memory, and TensorFlow is imported only once.

The process is a fork of a server that has imported what all tasks need and has computed nothing.
"""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

__all__ = ["run"]

PRELOAD = ["keras", "tf2onnx", "onnxruntime", "ai_edge_litert.interpreter", "bctoolkit.export.build", "bctoolkit.cli"]
PAUSE_SECONDS = 0.2

Task = Callable[..., dict[str, Any]]


def run(task: Task, *arguments: Any, seconds: float, megabytes: int, log: Path) -> dict[str, Any]:
    """What a task returns; `{"failed": reason}` where it returns nothing.

    Args:
        task: a function of a module.
        arguments: of the task.
        seconds: after so long it is ended.
        megabytes: once it holds so much memory it is ended.
        log: the file that gets what it prints.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, log, task, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        return _outcome(process, receiver, time.monotonic() + seconds, seconds, megabytes)
    finally:
        process.kill()
        process.join()


def _outcome(process: Any, receiver: Connection, end: float, seconds: float, megabytes: int) -> dict[str, Any]:
    while time.monotonic() < end:
        if receiver.poll(PAUSE_SECONDS):
            try:
                result: dict[str, Any] = receiver.recv()
            except EOFError:
                process.join()
                code = process.exitcode
                return {"failed": f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"}
            return result
        if _megabytes(process.pid) > megabytes:
            return {"failed": f"holds more than {megabytes} MB"}
    return {"failed": f"not done after {seconds:g} s"}


def _megabytes(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss / 1e6)
    except psutil.NoSuchProcess:
        return 0.0


def _work(sender: Connection, log: Path, task: Task, arguments: tuple[Any, ...]) -> None:
    """Be the child: its output goes to a file, its result through the pipe."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(output, number)
    try:
        result = task(*arguments)
    except Exception as problem:
        traceback.print_exc()
        result = {"failed": f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"}
    sender.send(result)
