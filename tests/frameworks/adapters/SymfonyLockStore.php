<?php
// SymfonyLockStore.php -- Symfony's lock store without scripts:  new LockFactory(new PlainRedisStore($connection))

use Symfony\Component\Lock\Exception\LockConflictedException;
use Symfony\Component\Lock\Key;
use Symfony\Component\Lock\PersistingStoreInterface;
use Symfony\Component\Lock\Store\ExpiringStoreTrait;

class PlainRedisStore implements PersistingStoreInterface
{
    use ExpiringStoreTrait;

    private $redis;
    private $initialTtl;

    public function __construct($redis, float $initialTtl = 300.0)
    {
        $this->redis = $redis;
        $this->initialTtl = $initialTtl;
    }

    public function save(Key $key)
    {
        $key->reduceLifetime($this->initialTtl);
        if (!$this->ask('SET', $key, $this->token($key), 'NX', 'PX', $this->milliseconds($this->initialTtl))) {
            $this->putOffExpiration($key, $this->initialTtl);  // who holds the lock may take it again
        }
        $this->checkNotExpired($key);
    }

    public function putOffExpiration(Key $key, float $ttl)
    {
        $key->reduceLifetime($ttl);
        $token = $this->token($key);
        if (!$this->ask('SET', $key, $token, 'IFEQ', $token, 'PX', $this->milliseconds($ttl))) {
            throw new LockConflictedException();
        }
        $this->checkNotExpired($key);
    }

    public function delete(Key $key)
    {
        $this->ask('DELIFEQ', $key, $this->token($key));
    }

    public function exists(Key $key)
    {
        return $this->ask('GET', $key) === $this->token($key);
    }

    /** Every failure is an exception, whichever way the client has been told to show it. */
    private function ask(string ...$words)
    {
        if ($this->redis instanceof Predis\ClientInterface) {
            $reply = $this->redis->executeRaw($words, $failed);
            if ($failed) {
                throw new RuntimeException($reply);
            }
            return $reply;
        }
        $this->redis->clearLastError();
        $reply = $this->redis->rawCommand(...$words);
        if ($this->redis->getLastError() !== null) {
            throw new RuntimeException($this->redis->getLastError());
        }
        return $reply;
    }

    private function milliseconds(float $ttl): string
    {
        return (string) ceil($ttl * 1000);
    }

    private function token(Key $key): string
    {
        if (!$key->hasState(__CLASS__)) {
            $key->setState(__CLASS__, base64_encode(random_bytes(32)));
        }
        return $key->getState(__CLASS__);
    }
}
