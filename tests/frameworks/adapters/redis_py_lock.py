"""redis_py_lock.py -- redis-py's lock without its scripts: it is taken with SET NX, so comparing is all that is left.

    client.lock(name, timeout=10, lock_class=DelifeqLock)
"""
from redis.exceptions import LockNotOwnedError
from redis.lock import Lock


class DelifeqLock(Lock):
    def do_release(self, expected_token):
        if not self.redis.execute_command("DELIFEQ", self.name, expected_token):
            raise LockNotOwnedError("Cannot release a lock that's no longer owned")

    def do_reacquire(self):
        token = self.local.token
        if not self.redis.execute_command("SET", self.name, token, "IFEQ", token, "PX", int(self.timeout * 1000)):
            raise LockNotOwnedError("Cannot reacquire a lock that's no longer owned")
        return True

    def do_extend(self, additional_time, replace_ttl):
        token, added = self.local.token, int(additional_time * 1000)
        if not replace_ttl:
            added += max(self.redis.pttl(self.name), 0)
        if not self.redis.execute_command("SET", self.name, token, "IFEQ", token, "PX", added):
            raise LockNotOwnedError("Cannot extend a lock that's no longer owned")
        return True
