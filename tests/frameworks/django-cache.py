"""django-cache.py -- Django's cache API over django-redis, or over Django's own Redis backend (from 4.0).

    django-cache.py django-redis | own
"""
import os
import sys

import django
import redis
from django.conf import settings

sys.path.append("adapters")

from report import about, absent, check, equal, expires, needs, raises, refused, until, without, works  # noqa: E402

OWN = sys.argv[1] == "own"
BACKEND = "django.core.cache.backends.redis.RedisCache" if OWN else "django_redis.cache.RedisCache"


def cache_settings(database=0, **more):
    return {"BACKEND": BACKEND, "LOCATION": f"redis://127.0.0.1:{os.environ['PORT']}/{database}", **more}


settings.configure(CACHES={
    "default": cache_settings(KEY_PREFIX="shop"),
    "news": cache_settings(KEY_PREFIX="news"),
    "second": cache_settings(KEY_PREFIX="shop", VERSION=2),
    "elsewhere": cache_settings(database=1),
    **({} if OWN else {"plain": cache_settings(KEY_PREFIX="shop", OPTIONS={"CLIENT_CLASS": "django_client.PlainClient"})}),
})
django.setup()

from django.core.cache import cache, caches  # noqa: E402  it wants its settings

if OWN:
    about(f"Django {django.__version__}, redis-py {redis.__version__}")
else:
    import django_redis
    about(f"django-redis {django_redis.__version__}, Django {django.__version__}, redis-py {redis.__version__}")


@works("get and set")
def _():
    equal(cache.get("nobody"), None)
    equal(cache.get("nobody", "somebody"), "somebody")
    for value in ("text", "", "Grüße", b"\r\n\0\xff", 17, -1, 2.5, True, None, {"a": [1, 2]}, "x" * 100000):
        cache.set("value", value)
        equal(cache.get("value", "missing"), value)
    cache.set("forever", 1, timeout=None)
    equal(cache.get("forever"), 1)
    check("value" in cache and "nobody" not in cache, "`in` tells what is there")


@works("get or compute")
def _():
    equal(cache.get_or_set("computed", lambda: [1, 2], 60), [1, 2])
    equal(cache.get_or_set("computed", lambda: [3], 60), [1, 2])


@works("add")
def _():
    equal(cache.add("seat", "first", 60), True)
    equal(cache.add("seat", "second", 60), False)
    equal(cache.get("seat"), "first")


@works("many")
def _():
    cache.set_many({f"many{i}": i for i in range(200)}, timeout=60)
    equal(cache.get_many(["many0", "nobody", "many199"]), {"many0": 0, "many199": 199})


def count(cache):
    cache.set("hits", 10)
    equal(cache.incr("hits"), 11)
    equal(cache.incr("hits", 5), 16)
    equal(cache.decr("hits", 6), 10)
    equal(cache.get("hits"), 10)


if OWN:
    @works("increment")
    def _():
        count(cache)
        raises(ValueError, cache.incr, "nobody")
else:
    @without("EVAL", "increment", "it falls back to GET and SET, so two at once may count as one, and a missing key is a "
                                  "TypeError: use `adapters/django_client.py`")
    def _():
        count(cache)
        raises(TypeError, cache.incr, "nobody")
        count(caches["plain"])
        raises(ValueError, caches["plain"].incr, "nobody")


@works("expiry")
def _():
    expires(1, lambda: cache.set("brief", 1, timeout=1), lambda: cache.get("brief") == 1)
    expires(1, lambda: cache.set_many({"brief": 1}, timeout=1), lambda: "brief" in cache)
    cache.set("never", 1, timeout=0)
    equal(cache.get("never"), None)


@works("touch")
def _():
    cache.set("touched", 1, timeout=2)
    equal(cache.touch("touched", 60), True)
    cache.set("witness", 1, timeout=2)
    until(lambda: "witness" not in cache, "what was not touched is gone")
    equal(cache.get("touched"), 1)
    equal(cache.touch("nobody", 60), False)
    if not OWN:
        check(30 <= cache.ttl("touched") <= 60, "its time to live")
        equal(cache.persist("touched"), True)
        equal(cache.ttl("touched"), None)
        equal(cache.expire("touched", 30), True)
        check(5000 <= cache.pttl("touched") <= 30000, "in milliseconds")


@works("delete")
def _():
    cache.set("gone", 1)
    equal(bool(cache.delete("gone")), True)
    equal(bool(cache.delete("gone")), False)
    equal(cache.get("gone"), None)


@works("delete many")
def _():
    cache.set_many({f"d{i}": i for i in range(3)})
    cache.delete_many(["d0", "d2", "nobody"])
    equal(cache.get_many(["d0", "d1", "d2"]), {"d1": 1})


if OWN:
    check(not hasattr(cache, "delete_pattern"), "Django has it by now")
    absent("delete by pattern")
else:
    @works("delete by pattern")
    def _():
        cache.set_many({f"page:{i}": i for i in range(300)})
        cache.set("pages", "stay")
        caches["news"].set("page:1", "of another prefix")
        equal(sorted(cache.keys("page:29?")), [f"page:29{i}" for i in range(10)])
        equal(len(list(cache.iter_keys("page:*"))), 300)
        equal(cache.delete_pattern("page:*"), 300)
        equal(cache.get("pages"), "stay")
        equal(caches["news"].get("page:1"), "of another prefix")


@works("prefixes")
def _():
    cache.set("same", "shop")
    caches["news"].set("same", "news")
    equal((cache.get("same"), caches["news"].get("same")), ("shop", "news"))


@works("versions")
def _():
    cache.set("style", "first")
    equal(caches["second"].get("style"), None)
    equal(cache.incr_version("style"), 2)
    equal((cache.get("style"), cache.get("style", version=2), caches["second"].get("style")), (None, "first", "first"))
    equal(cache.decr_version("style", version=2), 1)
    equal(cache.get("style"), "first")


@works("database")
def _():
    elsewhere = caches["elsewhere"]
    cache.set("place", "here")
    equal(elsewhere.get("place"), None)
    elsewhere.set("place", "there")
    elsewhere.clear()
    equal((cache.get("place"), elsewhere.get("place")), ("here", None))


@works("clear")
def _():
    cache.set("a", 1)
    cache.clear()
    equal(cache.get("a"), None)


if OWN:
    check(not hasattr(cache, "lock"), "Django has it by now")
    absent("lock", "stale lock")
else:
    plain = caches["plain"]

    @needs("EVALSHA", "lock", "use `adapters/django_client.py`")
    def _():
        first, second = cache.lock("report", timeout=10), cache.lock("report", timeout=10)
        equal(first.acquire(blocking=False), True)
        equal(second.acquire(blocking=False), False)
        refused("EVALSHA", first.release)
        check(first.locked(), "what was refused changes nothing")

        first, second = plain.lock("orders", timeout=10), plain.lock("orders", timeout=10)
        equal(first.acquire(blocking=False), True)
        equal(second.acquire(blocking=False), False)
        equal(first.reacquire(), True)
        equal(first.extend(20), True)
        check(20 < plain.ttl("orders") <= 30, "it has twenty seconds more")
        equal(first.extend(5, replace_ttl=True), True)
        check(plain.ttl("orders") <= 5, "it has five seconds in all")
        first.release()
        check(not second.locked(), "it is free")
        with second:
            check(second.owned(), "the next one has it")

    @needs("EVALSHA", "stale lock", "use `adapters/django_client.py`")
    def _():
        def stale_and_owner(cache, name):
            stale, owner = cache.lock(name, timeout=0.05), cache.lock(name, timeout=10)
            equal(stale.acquire(blocking=False), True)
            until(lambda: owner.acquire(blocking=False), "the first lock is over")
            return stale, owner

        stale, owner = stale_and_owner(cache, "nightly")
        refused("EVALSHA", stale.release)
        check(owner.owned(), "the second owner keeps it")

        stale, owner = stale_and_owner(plain, "weekly")
        raises(redis.exceptions.LockNotOwnedError, lambda: stale.extend(5))
        raises(redis.exceptions.LockNotOwnedError, stale.release)
        check(owner.owned(), "the second owner keeps it")
        owner.release()

absent("tags")
