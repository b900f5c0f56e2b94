<?php
// php-sessions.php -- PHP's own sessions in the server: session.save_handler = redis, which the redis extension brings.

require __DIR__.'/report.php';

function configure(string $path = '', array $settings = []): void
{
    ini_set('session.save_path', 'tcp://127.0.0.1:'.getenv('PORT').'?timeout=5&'.$path);
    $defaults = ['session.gc_maxlifetime' => 60, 'redis.session.locking_enabled' => 0, 'redis.session.lock_expire' => 0,
        'redis.session.lock_wait_time' => 2000, 'redis.session.lock_retries' => 5];
    foreach ($settings + $defaults as $name => $value) {
        ini_set($name, (string) $value);
    }
}

/** Begins a session, and returns what is in it. */
function begin(string $id): array
{
    $_SESSION = [];
    session_id($id);
    check(session_start(), 'session_start');
    return $_SESSION;
}

/** What the next request of this visitor sees, which changes nothing. */
function look(string $id): array
{
    $found = begin($id);
    session_abort();
    return $found;
}

function put(string $id, array $values): void
{
    begin($id);
    $_SESSION = $values;
    check(session_write_close(), 'session_write_close');
}

ini_set('session.save_handler', 'redis');
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
configure();
$redis = new Redis();
$redis->connect('127.0.0.1', (int) getenv('PORT'));
about('phpredis '.phpversion('redis').', PHP '.PHP_VERSION);

works('get and set', function () {
    $values = ['user' => 17, 'name' => 'Grüße', 'raw' => "\r\n\0\xff", 'cart' => ['a' => [1, 2]]];
    $values['long'] = str_repeat('x', 100000);
    equal(look('anna'), []);
    put('anna', $values);
    equal(look('anna'), $values);
    put('anna', ['user' => 18]);
    equal(look('anna'), ['user' => 18]);
    equal(look('bert'), []);
});

works('expiry', function () {
    configure('', ['session.gc_maxlifetime' => 1]);
    expires(1, fn () => put('brief', ['here' => 1]), fn () => look('brief') === ['here' => 1]);
});

works('touch', function () use ($redis) {
    configure();
    put('touched', ['here' => 1]);
    $redis->expire('PHPREDIS_SESSION:touched', 10);
    begin('touched');
    session_write_close();  // nothing was changed, so only the time is
    check($redis->ttl('PHPREDIS_SESSION:touched') > 50, 'it lives longer now');
    equal(look('touched'), ['here' => 1]);
});

works('delete', function () use ($redis) {
    put('gone', ['here' => 1]);
    begin('gone');
    check(session_destroy(), 'session_destroy');
    equal([look('gone'), $redis->exists('PHPREDIS_SESSION:gone')], [[], 0]);
    put('old', ['here' => 1]);
    begin('old');
    check(session_regenerate_id(true), 'session_regenerate_id');
    $new = session_id();
    session_write_close();
    equal([look('old'), look($new)], [[], ['here' => 1]]);
});

works('prefixes', function () {
    configure('prefix=shop:');
    put('same', ['in' => 'shop']);
    configure('prefix=news:');
    put('same', ['in' => 'news']);
    equal(look('same'), ['in' => 'news']);
    configure('prefix=shop:');
    equal(look('same'), ['in' => 'shop']);
});

works('database', function () use ($redis) {
    configure('database=1');
    put('place', ['in' => 1]);
    equal([look('place'), $redis->exists('PHPREDIS_SESSION:place')], [['in' => 1], 0]);
    configure();
    equal(look('place'), []);
});

needs('EVALSHA', 'lock', 'leave `redis.session.locking_enabled` at 0, its default: with 1 a lock is taken, and stays '
    .'until `redis.session.lock_expire` is over, or for good', function () use ($redis) {
        configure('', ['redis.session.locking_enabled' => 1, 'redis.session.lock_expire' => 30]);
        $error = raises(ErrorException::class, fn () => put('report', ['here' => 1]));
        equal($error->getMessage(), 'session_write_close(): Failed to release session lock');
        check($redis->ttl('PHPREDIS_SESSION:report_LOCK') > 20, 'the lock is there');
        $error = raises(ErrorException::class, fn () => begin('report'));
        equal($error->getMessage(), 'session_start(): Acquire of session lock was not successful');
        session_abort();

        configure();
        put('report', look('report') + ['and' => 2]);
        equal(look('report'), ['here' => 1, 'and' => 2]);
    });

absent('get or compute', 'add', 'many', 'increment', 'delete many', 'delete by pattern', 'versions', 'tags', 'clear',
    'stale lock');
