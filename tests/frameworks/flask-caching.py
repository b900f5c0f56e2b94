"""flask-caching.py -- Flask-Caching's RedisCache, which is cachelib's, in a Flask application."""
import importlib.metadata
import os

from flask import Flask
from flask_caching import Cache

from report import about, absent, check, equal, expires, works


def make_cache(database=0, prefix=""):
    app = Flask("shop")
    cache = Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_HOST": "127.0.0.1",
                               "CACHE_REDIS_PORT": int(os.environ["PORT"]), "CACHE_REDIS_DB": database,
                               "CACHE_KEY_PREFIX": prefix, "CACHE_DEFAULT_TIMEOUT": 300})
    return app, cache


app, cache = make_cache(prefix="shop:")
about(", ".join(f"{name} {importlib.metadata.version(package)}" for name, package in (
    ("Flask-Caching", "flask-caching"), ("cachelib", "cachelib"), ("Flask", "flask"), ("redis-py", "redis"))))


@works("get and set")
def _():
    equal(cache.get("nobody"), None)
    for value in ("text", "", "Grüße", b"\r\n\0\xff", 17, 2.5, True, {"a": [1, 2]}, "x" * 100000):
        check(cache.set("value", value), "set")
        equal(cache.get("value"), value)
    check(cache.set("forever", 1, timeout=0), "set")
    equal((cache.has("forever"), cache.has("nobody")), (True, False))


@works("get or compute")
def _():
    calls = []

    @app.route("/<name>")
    @cache.cached(timeout=60)
    def page(name):
        calls.append(name)
        return f"page {name}"

    client = app.test_client()
    equal([client.get(path).data for path in ("/a", "/a", "/b")], [b"page a", b"page a", b"page b"])
    equal(calls, ["a", "b"])


@works("add")
def _():
    equal(cache.add("seat", "first", timeout=60), True)
    equal(cache.add("seat", "second", timeout=60), False)
    equal(cache.get("seat"), "first")


@works("many")
def _():
    cache.set_many({f"many{i}": i for i in range(200)}, timeout=60)
    equal(cache.get_many("many0", "nobody", "many199"), [0, None, 199])
    equal(cache.get_dict("many1", "nobody"), {"many1": 1, "nobody": None})


@works("increment", "on the backend, `cache.cache.inc`; what `set` has written is a pickle, which does not count")
def _():
    equal(cache.cache.inc("hits"), 1)
    equal(cache.cache.inc("hits", 5), 6)
    equal(cache.cache.dec("hits", 2), 4)
    equal(cache.get("hits"), 4)


@works("expiry")
def _():
    expires(1, lambda: cache.set("brief", 1, timeout=1), lambda: cache.get("brief") == 1)
    expires(1, lambda: cache.add("brief", 1, timeout=1), lambda: cache.has("brief"))
    expires(1, lambda: cache.set_many({"brief": 1}, timeout=1), lambda: cache.has("brief"))


@works("delete")
def _():
    cache.set("gone", 1)
    equal((cache.delete("gone"), cache.delete("gone"), cache.get("gone")), (True, False, None))


@works("delete many")
def _():
    cache.set_many({f"d{i}": i for i in range(4)})
    cache.delete_many("d0", "d2", "nobody")
    cache.unlink("d3")
    equal(cache.get_many("d0", "d1", "d2", "d3"), [None, 1, None, None])


@works("prefixes")
def _():
    other = make_cache(prefix="news:")[1]
    cache.set("same", "shop")
    other.set("same", "news")
    equal((cache.get("same"), other.get("same")), ("shop", "news"))


@works("versions", "`delete_memoized` makes a new version of a function's results")
def _():
    calls = []

    @cache.memoize(timeout=60)
    def square(n):
        calls.append(n)
        return n * n

    with app.test_request_context():
        equal([square(3), square(3), square(4)], [9, 9, 16])
        cache.delete_memoized(square, 3)
        equal([square(3), square(4)], [9, 16])
        equal(calls, [3, 4, 3])
        cache.delete_memoized(square)
        equal([square(3), square(4)], [9, 16])
        equal(calls, [3, 4, 3, 3, 4])


@works("database")
def _():
    elsewhere = make_cache(database=1)[1]
    cache.set("place", "here")
    elsewhere.set("shop:place", "there")
    equal((cache.get("place"), elsewhere.get("shop:place")), ("here", "there"))
    elsewhere.clear()
    equal((cache.get("place"), elsewhere.get("shop:place")), ("here", None))


@works("clear", "with a prefix by KEYS and one DEL, without by FLUSHDB")
def _():
    everything = make_cache()[1]
    cache.set_many({f"c{i}": i for i in range(300)})
    everything.set("outside", 1)
    check(cache.clear(), "clear")
    equal((cache.get("c7"), everything.get("outside")), (None, 1))
    check(everything.clear(), "clear")
    equal(everything.get("outside"), None)


for name in ("touch", "delete_matched", "delete_pattern", "lock", "tags"):
    check(not hasattr(cache, name) and not hasattr(cache.cache, name), f"Flask-Caching has {name} by now")
absent("touch", "delete by pattern", "tags", "lock", "stale lock")
