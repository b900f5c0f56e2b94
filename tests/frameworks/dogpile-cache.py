"""dogpile-cache.py -- dogpile.cache's regions over its Redis backend, with its distributed lock and without."""
import importlib.metadata
import os
import sys
import threading
import warnings

from dogpile.cache import make_region, register_backend
from dogpile.cache.api import NO_VALUE
from redis.exceptions import LockNotOwnedError

from report import about, absent, check, equal, expires, needs, raises, refused, until, works

sys.path.append("adapters")
warnings.simplefilter("error")  # the backend warns of what its locks cannot do


register_backend("plain.redis", "dogpile_backend", "PlainBackend")


def region(backend="dogpile.cache.redis", prefix="", **arguments):
    return make_region(key_mangler=lambda key: prefix + key).configure(
        backend, arguments={"host": "127.0.0.1", "port": int(os.environ["PORT"]), **arguments})


def locking(backend="dogpile.cache.redis", timeout=10):
    return region(backend, distributed_lock=True, thread_local_lock=False, lock_timeout=timeout, lock_sleep=0.01)


cache = region(prefix="shop:")
about(", ".join(f"{name} {importlib.metadata.version(package)}" for name, package in (
    ("dogpile.cache", "dogpile.cache"), ("redis-py", "redis"))))


@works("get and set")
def _():
    equal(cache.get("nobody"), NO_VALUE)
    for value in ("text", "", "Grüße", b"\r\n\0\xff", 17, None, {"a": [1, 2]}, "x" * 100000):
        cache.set("value", value)
        equal(cache.get("value"), value)


@works("get or compute")
def _():
    calls = []

    @cache.cache_on_arguments(namespace="squares")
    def square(n):
        calls.append(n)
        return n * n

    equal([square(3), square(3), square(4)], [9, 9, 16])
    square.invalidate(3)
    equal([square(3), square(4)], [9, 16])
    equal(calls, [3, 4, 3])
    equal(cache.get_or_create_multi(["1", "2"], lambda *keys: [int(key.rpartition(":")[2]) * 10 for key in keys]), [10, 20])


@works("many")
def _():
    cache.set_multi({f"many{i}": i for i in range(200)})
    equal(cache.get_multi(["many0", "nobody", "many199"]), [0, NO_VALUE, 199])


@works("expiry", "the server's with `redis_expiration_time`, else dogpile looks at the age of what it got")
def _():
    brief = region(redis_expiration_time=1)
    expires(1, lambda: brief.set("brief", 1), lambda: brief.get("brief") == 1)
    expires(1, lambda: brief.set_multi({"a": 1, "b": 2}), lambda: brief.get_multi(["a", "b"]) == [1, 2])


@works("delete")
def _():
    cache.set("gone", 1)
    cache.delete("gone")
    cache.delete("gone")
    equal(cache.get("gone"), NO_VALUE)


@works("delete many")
def _():
    cache.set_multi({f"d{i}": i for i in range(3)})
    cache.delete_multi(["d0", "d2", "nobody"])
    equal(cache.get_multi(["d0", "d1", "d2"]), [NO_VALUE, 1, NO_VALUE])


@works("prefixes")
def _():
    other = region(prefix="news:")
    cache.set("same", "shop")
    other.set("same", "news")
    equal((cache.get("same"), other.get("same")), ("shop", "news"))


@works("database")
def _():
    elsewhere = region(prefix="shop:", db=1)
    cache.set("place", "here")
    equal(elsewhere.get("place"), NO_VALUE)
    elsewhere.set("place", "there")
    equal((cache.get("place"), elsewhere.get("place")), ("here", "there"))


@needs("EVALSHA", "lock", "use `adapters/dogpile_backend.py`, or no `distributed_lock`; otherwise the lock "
                          "is taken, and stays until its time is over")
def _():
    scripted = locking()
    refused("EVALSHA", scripted.get_or_create, "report", lambda: "computed")
    equal(scripted.get("report"), "computed")  # only letting go of the lock has failed, ...
    check(scripted.key_is_locked("report"), "... so it stays until its timeout")

    calls, results = [], []
    plain = locking("plain.redis")

    def create():
        calls.append(1)
        until(lambda: plain.key_is_locked("orders"), "others see the lock")
        return "computed"

    threads = [threading.Thread(target=lambda: results.append(plain.get_or_create("orders", create))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    equal((calls, results), ([1], ["computed"] * 4))
    check(not plain.key_is_locked("orders"), "it is free")


@needs("EVALSHA", "stale lock", "use `adapters/dogpile_backend.py`")
def _():
    def stale_and_owner(backend):
        stale, owner = locking(backend, 0.05).backend.get_mutex("nightly"), locking(backend).backend.get_mutex("nightly")
        check(stale.acquire(False), "it is free")
        until(lambda: owner.acquire(False), "the first lock is over")
        return stale, owner

    stale, owner = stale_and_owner("dogpile.cache.redis")
    refused("EVALSHA", stale.release)
    check(owner.locked(), "the second owner keeps it")
    cache.backend.writer_client.delete("_locknightly")

    stale, owner = stale_and_owner("plain.redis")
    raises(LockNotOwnedError, stale.release)
    check(owner.owned(), "the second owner keeps it")
    owner.release()


for name in ("add", "increment", "incr", "touch", "clear", "flush", "delete_pattern", "tags"):
    check(not hasattr(cache, name), f"dogpile.cache has {name} by now")
absent("add", "increment", "touch", "delete by pattern", "versions", "tags", "clear")
