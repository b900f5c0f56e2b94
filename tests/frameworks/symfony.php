<?php
// symfony.php -- Symfony's cache and locks, by the redis extension or by Predis:  symfony.php phpredis | predis

require __DIR__.'/report.php';
require 'Psr/SimpleCache/autoload.php';
require 'Symfony/Component/Cache/autoload.php';
require 'Symfony/Component/Lock/autoload.php';
require 'Predis/autoload.php';
require __DIR__.'/adapters/SymfonyLockStore.php';

use Symfony\Component\Cache\Adapter\RedisAdapter;
use Symfony\Component\Cache\Adapter\RedisTagAwareAdapter;
use Symfony\Component\Cache\Adapter\TagAwareAdapter;
use Symfony\Component\Cache\Psr16Cache;
use Symfony\Component\Lock\Exception\LockConflictedException;
use Symfony\Component\Lock\Key;
use Symfony\Component\Lock\LockFactory;
use Symfony\Component\Lock\Store\RedisStore;
use Symfony\Contracts\Cache\ItemInterface;

$client = $argv[1] === 'predis' ? Predis\Client::class : Redis::class;

function connect(int $database = 0)
{
    $options = ['class' => $GLOBALS['client']];
    return RedisAdapter::createConnection('redis://127.0.0.1:'.getenv('PORT')."/$database", $options);
}

/** The adapters tell their logger what went wrong, and answer false. */
class Thrower extends Psr\Log\AbstractLogger
{
    public function log($level, $message, array $context = []): void
    {
        throw new RuntimeException($message.' '.($context['exception'] ?? ''));
    }
}

$redis = connect();
$pool = new RedisAdapter($redis, 'shop', 300);
$pool->setLogger(new Thrower());
$cache = new Psr16Cache($pool);

about('symfony/cache '.version('php-symfony-cache').', symfony/lock '.version('php-symfony-lock').', '
    .($client === Redis::class ? 'phpredis '.phpversion('redis') : 'Predis '.Predis\Client::VERSION).', PHP '.PHP_VERSION);

works('get and set', function () use ($pool, $cache) {
    equal($pool->getItem('nobody')->isHit(), false);
    equal($cache->get('nobody', 'somebody'), 'somebody');
    $long = str_repeat('x', 100000);
    foreach (['text', '', 'Grüße', "\r\n\0\xff", 17, 2.5, true, false, null, ['a' => [1, 2]], $long] as $value) {
        check($pool->save($pool->getItem('value')->set($value)), 'save');
        equal($pool->getItem('value')->get(), $value);
        check($cache->set('value', $value), 'set');
        equal($cache->get('value', 'missing'), $value);
    }
    equal([$pool->hasItem('value'), $cache->has('nobody')], [true, false]);
});

works('get or compute', function () use ($pool) {
    $calls = 0;
    $compute = function (ItemInterface $item) use (&$calls) {
        $item->expiresAfter(60);
        return ++$calls;
    };
    equal([$pool->get('computed', $compute), $pool->get('computed', $compute)], [1, 1]);
    equal($pool->get('computed', $compute, INF), 2);  // INF: compute it early, now
});

works('many', function () use ($pool, $cache) {
    for ($i = 0; $i < 200; ++$i) {
        $pool->saveDeferred($pool->getItem("many$i")->set($i));
    }
    check($pool->commit(), 'commit');
    $got = [];
    foreach ($pool->getItems(['many0', 'nobody', 'many199']) as $key => $item) {
        $got[$key] = $item->get();
    }
    equal($got, ['many0' => 0, 'nobody' => null, 'many199' => 199]);
    check($cache->setMultiple(['a' => 1, 'b' => 2], 60), 'setMultiple');
    equal($cache->getMultiple(['a', 'nobody', 'b'], 0), ['a' => 1, 'nobody' => 0, 'b' => 2]);
});

works('expiry', function () use ($pool, $cache) {
    expires(1, fn () => $pool->save($pool->getItem('brief')->set(1)->expiresAfter(1)), fn () => $pool->hasItem('brief'));
    expires(1, fn () => $cache->setMultiple(['brief' => 1], 1), fn () => $cache->get('brief') === 1);
});

works('delete', function () use ($pool, $cache) {
    $cache->set('gone', 1);
    check($pool->deleteItem('gone') && $cache->delete('gone'), 'delete');
    equal($cache->has('gone'), false);
});

works('delete many', function () use ($pool, $cache) {
    $cache->setMultiple(['d0' => 0, 'd1' => 1, 'd2' => 2]);
    check($pool->deleteItems(['d0', 'd2', 'nobody']), 'deleteItems');
    equal($cache->getMultiple(['d0', 'd1', 'd2']), ['d0' => null, 'd1' => 1, 'd2' => null]);
});

works('delete by pattern', function () use ($pool, $cache) {
    for ($i = 0; $i < 300; ++$i) {
        $pool->saveDeferred($pool->getItem("page.$i")->set($i));
    }
    $pool->commit();
    $cache->set('pages', 'stay');
    check($pool->clear('page.'), 'clear');
    equal([$cache->has('page.0'), $cache->has('page.299'), $cache->get('pages')], [false, false, 'stay']);
}, 'by prefix, `clear($prefix)`');

works('prefixes', function () use ($cache, $redis) {
    $other = new Psr16Cache(new RedisAdapter($redis, 'news'));
    $cache->set('same', 'shop');
    $other->set('same', 'news');
    equal([$cache->get('same'), $other->get('same')], ['shop', 'news']);
});

works('tags', function () use ($redis) {
    $tagged = new TagAwareAdapter(new RedisAdapter($redis, 'tagged'), null, 0);  // 0: asks for the tags every time
    $put = fn ($key, ...$tags) => $tagged->get($key, function (ItemInterface $item) use ($key, $tags) {
        $item->tag($tags);
        return $key;
    });
    $put('john', 'people', 'artists');
    $put('jane', 'people');
    $put('flute', 'things');
    check($tagged->invalidateTags(['artists']), 'invalidateTags');
    equal([$tagged->hasItem('john'), $tagged->hasItem('jane'), $tagged->hasItem('flute')], [false, true, true]);
    $tagged->invalidateTags(['people']);
    equal([$tagged->hasItem('jane'), $tagged->hasItem('flute')], [false, true]);

    // The other adapter keeps tags in sets. It looks at the eviction policy first, and sends no set's command.
    $sets = new RedisTagAwareAdapter($redis, 'sets');
    $sets->setLogger(new Thrower());
    $item = $sets->getItem('john')->set(1)->tag('people');
    $said = raises(RuntimeException::class, fn () => $sets->save($item))->getMessage();
    check(str_contains($said, '"allkeys-lru" is *not* supported by RedisTagAwareAdapter'), $said);
    equal($sets->getItem('john')->isHit(), false);
}, 'by `TagAwareAdapter` over `RedisAdapter`; `RedisTagAwareAdapter` keeps sets and takes no server that evicts any key');

works('database', function () use ($cache) {
    $elsewhere = new Psr16Cache(new RedisAdapter(connect(1), 'shop'));
    $cache->set('place', 'here');
    equal($elsewhere->get('place'), null);
    $elsewhere->set('place', 'there');
    check((new RedisAdapter(connect(1)))->clear(), 'clear');
    equal([$cache->get('place'), $elsewhere->get('place')], ['here', null]);
});

works('clear', function () use ($pool, $cache, $redis) {
    $other = new Psr16Cache(new RedisAdapter($redis, 'news'));
    $cache->set('a', 1);
    $other->set('a', 2);
    check($cache->clear(), 'clear');
    equal([$cache->get('a'), $other->get('a')], [null, 2]);
    check((new RedisAdapter($redis))->clear(), 'clear');
    equal($other->get('a'), null);
}, 'with a namespace by INFO, SCAN and UNLINK, without by FLUSHDB');

// Predis tells an error by an exception, but not over a connection that createConnection() has made.
$strict = $client === Redis::class ? $redis : new Predis\Client('tcp://127.0.0.1:'.getenv('PORT'));
$note = 'use `adapters/SymfonyLockStore.php`';
if ($client !== Redis::class) {
    $note .= '. Beware: `RedisStore` over a Predis connection of `RedisAdapter::createConnection` takes the error for a '
        .'yes, everybody gets the lock';
}

needs('EVAL', 'lock', $note, function () use ($redis, $strict) {
    refused('EVAL', fn () => (new LockFactory(new RedisStore($strict)))->createLock('report')->acquire());
    equal((int) $redis->exists('report'), 0);
    if ($redis !== $strict) {
        $careless = new RedisStore($redis);
        $careless->save(new Key('report'));
        $careless->save(new Key('report'));
        equal((int) $redis->exists('report'), 0);
    }

    $locks = new LockFactory(new PlainRedisStore($redis));
    [$first, $second] = [$locks->createLock('orders', 10), $locks->createLock('orders', 10)];
    equal([$first->acquire(), $second->acquire(), $first->isAcquired()], [true, false, true]);
    equal($first->acquire(), true);
    $first->refresh(60);
    check($redis->ttl('orders') > 50, 'it lives longer now');
    $first->release();
    equal([$second->acquire(), $first->acquire()], [true, false]);
    $second->release();
});

needs('EVAL', 'stale lock', 'use `adapters/SymfonyLockStore.php`', function () use ($redis, $strict) {
    refused('EVAL', fn () => (new RedisStore($strict))->delete(new Key('nightly')));

    $store = new PlainRedisStore($redis, 10);
    [$stale, $owner] = [new Key('nightly'), new Key('nightly')];
    (new PlainRedisStore($redis, 0.05))->save($stale);
    until(fn () => !$store->exists($stale), 'the first lock is over');
    $store->save($owner);
    $store->delete($stale);
    check($store->exists($owner), 'the second owner keeps it');
    raises(LockConflictedException::class, fn () => $store->putOffExpiration($stale, 10));
    $store->delete($owner);
    equal((int) $redis->exists('nightly'), 0);
});

foreach (['add', 'increment', 'incr', 'touch', 'invalidateVersion'] as $method) {
    check(!method_exists($pool, $method) && !method_exists($cache, $method), "Symfony has $method by now");
}
absent('add', 'increment', 'touch', 'versions');
