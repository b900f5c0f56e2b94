"""dogpile_backend.py -- dogpile.cache's Redis backend, its distributed lock released by DELIFEQ.

    register_backend("plain.redis", "dogpile_backend", "PlainBackend")
"""
from dogpile.cache.backends.redis import RedisBackend
from redis_py_lock import DelifeqLock


class PlainBackend(RedisBackend):
    def get_mutex(self, key):
        return self.writer_client.lock("_lock" + key, timeout=self.lock_timeout, sleep=self.lock_sleep,
                                       thread_local=self.thread_local_lock, lock_class=DelifeqLock)
