"""report.py -- what the Python programs here share: a capability is tried, and reported to run.py.

A report is one line of JSON on standard output. run.py answers it with a line, once it has read the server's counters:
so what was asked, and what was refused, between two reports belongs to one capability.

    @works("add")                             it works, and the server refuses nothing
    @without("EVAL", "increment", note)       it works although a command is refused; the note says what is lost
    @needs("EVALSHA", "lock", use)            it fails with the server's error, and the test shows what to use instead
    absent("tags")                            the framework's API has no such thing
"""
import json
import sys
import time
import traceback


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, want):
    check(got == want, f"got {got!r:.300}, not {want!r:.300}")


def until(condition, what, seconds=60):
    """Asks until the condition holds; nothing sleeps for longer than it takes."""
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.01)


def expires(seconds, write, is_there):
    """What is written lives as long as it should, and is then gone without anybody's doing."""
    while True:
        began = time.monotonic()
        write()
        if is_there():
            break
        check(time.monotonic() - began > seconds - 0.05, "it is gone at once")  # or the machine had stopped somebody: again
    until(lambda: not is_there(), f"what lives {seconds} s is gone")
    lived = time.monotonic() - began
    check(lived > seconds - 0.05, f"it was gone after {lived:.2f} s, not {seconds}")


def raises(kind, call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except kind as error:
        return error
    raise Failure(f"no {kind.__name__}, but {result!r:.200}")


def refused(command, call, *args, **kwargs):
    """The call fails with the server's words for a command that it does not have."""
    error = raises(Exception, call, *args, **kwargs)
    words = f"unknown command '{command}'"
    check(words in str(error), f"not {words}, but {error!r:.300}")


def say(**report):
    print(json.dumps(report), flush=True)
    if not sys.stdin.readline():
        sys.exit(1)


def about(versions):
    say(about=versions)


def attempt(capability, result, function, **more):
    try:
        function()
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[1:]
        lines = " ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in where)
        say(capability=capability, result="failed", why=f"{lines}: {type(error).__name__}: {error}")
    else:
        say(capability=capability, result=result, **more)


def works(capability, note=""):
    return lambda function: attempt(capability, "works", function, note=note)


def without(command, capability, note):
    return lambda function: attempt(capability, "without", function, command=command, note=note)


def needs(command, capability, use):
    return lambda function: attempt(capability, "needs", function, command=command, note=use)


def absent(*capabilities):
    for capability in capabilities:
        say(capability=capability, result="absent")
