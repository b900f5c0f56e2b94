<?php
// LaravelStore.php -- Laravel's Redis store without scripts and sets: add() is a SET NX, a lock is released by DELIFEQ,
// and a tag is a version that is kept in a string, as Laravel does it with memcached.
//
//     Cache::extend('plain-redis', fn ($app, $config) => Cache::repository(
//         new PlainRedisStore($app['redis'], $config['prefix'], $config['connection'])));

use Illuminate\Cache\RedisLock;
use Illuminate\Cache\RedisStore;
use Illuminate\Cache\TaggedCache;
use Illuminate\Cache\TagSet;

class PlainRedisStore extends RedisStore
{
    public function add($key, $value, $seconds)
    {
        return (bool) $this->connection()->set(
            $this->prefix.$key, $this->serialize($value), 'EX', (int) max(1, $seconds), 'NX');
    }

    public function lock($name, $seconds = 0, $owner = null)
    {
        return new DelifeqLock($this->lockConnection(), $this->prefix.$name, $seconds, $owner);
    }

    public function tags($names)
    {
        return new TaggedCache($this, new TagSet($this, is_array($names) ? $names : func_get_args()));
    }
}

class DelifeqLock extends RedisLock
{
    public function release()
    {
        // The clients put the connection's prefix before every key, but not into a command that they do not know.
        $client = $this->redis->client();
        $prefix = $client instanceof Redis
            ? $client->getOption(Redis::OPT_PREFIX) : optional($client->getOptions()->prefix)->getPrefix();

        return (bool) $this->redis->executeRaw(['DELIFEQ', $prefix.$this->name, $this->owner]);
    }
}
