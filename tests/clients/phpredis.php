<?php
// phpredis.php -- what the extension phpredis does with the server. How it is called stands in run.py.
require __DIR__ . '/common.php';

function connect($database = 0)
{
    $c = new Redis();
    $c->connect('127.0.0.1', PORT, 30, null, 0, 30);
    if ($database) {
        equal($c->select($database), true);
    }
    return $c;
}

/** The parsed line of CLIENT LIST for the connection of this name. */
function named($c, $name)
{
    return array_values(array_filter($c->client('list'), fn($line) => $line['name'] === $name))[0];
}

/** The library leaves a NUL byte behind the text. */
function last_error($c)
{
    return rtrim($c->getLastError(), "\0");
}

function resp2()
{
    $c = connect();
    equal($c->ping(), true);
    equal([$c->set('k', 'v'), $c->get('k'), $c->get('nothing')], [true, 'v', false]);
    equal((string)$c->client('list')[0]['resp'], '2');
}

function handshake()
{
    $c = connect(3);
    equal([$c->client('setname', 'the-name'), $c->client('getname')], [true, 'the-name']);
    $c->set('k', 'in 3');
    equal((string)named($c, 'the-name')['db'], '3');
    equal([connect()->get('k'), connect(3)->get('k')], [false, 'in 3']);
}

function ttl()
{
    $c = connect();
    $c->set('seconds', 'v', ['ex' => 100]);
    $c->set('milliseconds', 'v', ['px' => 100000]);
    $c->set('short', 'v', ['px' => 30]);
    [$seconds, $milliseconds] = [$c->ttl('seconds'), $c->pttl('milliseconds')];
    check($seconds >= 90 && $seconds <= 100 && $milliseconds >= 90000 && $milliseconds <= 100000, 'the TTL is off');
    until(fn() => $c->get('short') === false);
    equal([$c->ttl('short'), $c->get('seconds')], [-2, 'v']);
}

function binary()
{
    $c = connect();
    $c->set(ALL_BYTES, strrev(ALL_BYTES));
    $c->set('empty', '');
    equal([$c->get(ALL_BYTES), $c->get('empty')], [strrev(ALL_BYTES), '']);
}

function large()
{
    $c = connect();
    $c->set('large', one_mb());
    check($c->get('large') === one_mb(), 'another value came back');
}

function pipeline()
{
    $p = connect()->multi(Redis::PIPELINE);
    for ($i = 0; $i < MANY / 2; $i++) {
        $p->set("key:$i", padded($i))->get("key:$i");
    }
    $replies = $p->exec();
    equal(count($replies), MANY);
    foreach ($replies as $i => $reply) {
        equal($reply, $i % 2 ? padded(intdiv($i, 2)) : true);
    }
}

function many()
{
    $c = connect();
    equal($c->mset(['a' => 1, 'b' => 'two']), true);
    equal([$c->mget(['a', 'nothing', 'b']), $c->incr('a')], [['1', false, 'two'], 2]);
    equal([$c->exists('a', 'b', 'nothing'), $c->del('a', 'b', 'nothing'), $c->exists('a', 'b')], [2, 2, 0]);
}

function scan()
{
    $c = connect();
    $c->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY); // an empty page is no end
    for ($i = 0; $i < 1000; $i++) {
        $keys["scan:$i"] = $others["other:$i"] = $i;
    }
    $c->mset($keys + $others);
    $found = [];
    $cursor = null;
    while ($some = $c->scan($cursor, 'scan:*', 100)) {
        $found += array_flip($some);
    }
    equal(count($found), 1000);
    equal(array_diff_key($keys, $found), []);
}

function transaction()
{
    $replies = connect()->multi()->set('n', 1)->incr('n')->get('n')->get('nothing')->exec();
    equal($replies, [true, 2, '2', false]);
}

function watch()
{
    [$c, $other] = [connect(), connect()];
    $c->watch('k');
    $other->set('k', 'other');
    equal($c->multi()->set('k', 'mine')->exec(), false);
    equal($c->get('k'), 'other');
    $c->watch('k');
    equal($c->multi()->set('k', 'mine')->get('k')->exec(), [true, 'mine']);
}

function error()
{
    $c = connect();
    $c->set('text', 'abc');
    equal([$c->incr('text'), last_error($c)], [false, 'ERR value is not an integer or out of range']);
    equal($c->get('text'), 'abc');
}

function unknown()
{
    $c = connect();
    equal($c->lPush('k', 'v'), false);
    equal(last_error($c), "ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' ");
}

function reconnect()
{
    $c = connect(3);
    $c->set('k', 'v');
    restarted();
    equal([$c->get('k'), $c->set('k', 'new'), $c->get('k')], [false, true, 'new']);
    equal([connect()->get('k'), connect(3)->get('k')], [false, 'new']);
}

main([
    ['resp2', 'resp2', ''],
    ['resp3', null, 'the library speaks RESP2 only'],
    ['handshake', 'handshake', 'the name and the database with calls of their own after connecting'],
    ['ttl', 'ttl', ''],
    ['binary', 'binary', ''],
    ['large', 'large', ''],
    ['pipeline', 'pipeline', ''],
    ['many', 'many', ''],
    ['scan', 'scan', ''],
    ['transaction', 'transaction', ''],
    ['watch', 'watch', ''],
    ['execabort', null, 'after EXECABORT its exec() waits for one more reply that no server sends'],
    ['error', 'error', 'the library tells it with getLastError()'],
    ['unknown', 'unknown', 'the library tells it with getLastError()'],
    ['reconnect', 'reconnect', ''],
]);
