"""django_client.py -- django-redis without its scripts:  "OPTIONS": {"CLIENT_CLASS": "django_client.PlainClient"}

incr() adds in the server, as Django's own Redis backend does it; lock() gives a lock that is released by DELIFEQ.
"""
from django_redis.client import DefaultClient
from redis_py_lock import DelifeqLock


class PlainClient(DefaultClient):
    def _incr(self, key, delta=1, version=None, client=None, ignore_key_check=False):
        client = client or self.get_client(write=True)
        name = self.make_key(key, version=version)
        if not ignore_key_check and not client.exists(name):
            raise ValueError(f"Key '{name}' not found")
        return client.incrby(name, delta)

    def lock(self, key, version=None, client=None, **options):
        client = client or self.get_client(write=True)
        return client.lock(self.make_key(key, version=version), lock_class=DelifeqLock, **options)
