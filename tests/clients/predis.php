<?php
// predis.php -- what Predis does with the server. How it is called stands in run.py.
require __DIR__ . '/common.php';
require '/usr/share/php/Predis/autoload.php';

use Predis\Collection\Iterator\Keyspace;
use Predis\Connection\ConnectionException;
use Predis\Response\ServerException;
use Predis\Transaction\AbortedMultiExecException;

function connect($database = null)
{
    return new Predis\Client(['host' => '127.0.0.1', 'port' => PORT, 'timeout' => 30, 'read_write_timeout' => 30]
        + ($database ? ['database' => $database] : []));
}

/** The parsed line of CLIENT LIST for the connection of this name. */
function named($c, $name)
{
    return array_values(array_filter($c->client('LIST'), fn($line) => $line['name'] === $name))[0];
}

function resp2()
{
    $c = connect();
    equal((string)$c->ping(), 'PONG');
    equal([(string)$c->set('k', 'v'), $c->get('k'), $c->get('nothing')], ['OK', 'v', null]);
    equal($c->client('LIST')[0]['resp'], '2');
}

function handshake()
{
    $c = connect(3);
    equal([(string)$c->client('SETNAME', 'the-name'), $c->client('GETNAME')], ['OK', 'the-name']);
    $c->set('k', 'in 3');
    equal(named($c, 'the-name')['db'], '3');
    equal([connect()->get('k'), connect(3)->get('k')], [null, 'in 3']);
}

function ttl()
{
    $c = connect();
    $c->set('seconds', 'v', 'EX', 100);
    $c->set('milliseconds', 'v', 'PX', 100000);
    $c->set('short', 'v', 'PX', 30);
    [$seconds, $milliseconds] = [$c->ttl('seconds'), $c->pttl('milliseconds')];
    check($seconds >= 90 && $seconds <= 100 && $milliseconds >= 90000 && $milliseconds <= 100000, 'the TTL is off');
    until(fn() => $c->get('short') === null);
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
    $replies = connect()->pipeline(function ($p) {
        for ($i = 0; $i < MANY / 2; $i++) {
            $p->set("key:$i", padded($i));
            $p->get("key:$i");
        }
    });
    equal(count($replies), MANY);
    foreach ($replies as $i => $reply) {
        equal((string)$reply, $i % 2 ? padded(intdiv($i, 2)) : 'OK');
    }
}

function many()
{
    $c = connect();
    equal((string)$c->mset(['a' => 1, 'b' => 'two']), 'OK');
    equal([$c->mget(['a', 'nothing', 'b']), $c->incr('a')], [['1', null, 'two'], 2]);
    equal([$c->exists('a', 'b', 'nothing'), $c->del('a', 'b', 'nothing'), $c->exists('a', 'b')], [2, 2, 0]);
}

function scan()
{
    $c = connect();
    for ($i = 0; $i < 1000; $i++) {
        $keys["scan:$i"] = $others["other:$i"] = $i;
    }
    $c->mset($keys + $others);
    $found = [];
    foreach (new Keyspace($c, 'scan:*', 100) as $key) {
        $found[$key] = true;
    }
    equal(count($found), 1000);
    equal(array_diff_key($keys, $found), []);
}

function transaction()
{
    $replies = connect()->transaction(fn($t) => $t->set('n', 1)->incr('n')->get('n')->get('nothing'));
    $replies[0] = (string)$replies[0];
    equal($replies, ['OK', 2, '2', null]);
}

function watch()
{
    [$c, $other] = [connect(), connect()];
    $options = ['watch' => 'k', 'cas' => true];
    raises(AbortedMultiExecException::class, fn() => $c->transaction($options, function ($t) use ($other) {
        equal($t->get('k'), null);
        $other->set('k', 'other');
        $t->multi();
        $t->set('k', 'mine');
    }));
    equal($c->get('k'), 'other');
    $c->transaction($options, function ($t) {
        equal($t->get('k'), 'other');
        $t->multi();
        $t->set('k', 'mine');
    });
    equal($c->get('k'), 'mine');
}

function execabort()
{
    $c = connect();
    // The library discards the transaction itself at the first error while queueing, and raises that one.
    equal(raises(AbortedMultiExecException::class, fn() => $c->transaction(function ($t) {
        $t->set('k', 'v');
        $t->executeCommand(new Predis\Command\RawCommand(['GET']));
    })), "ERR wrong number of arguments for 'get' command");
    equal($c->get('k'), null);
}

function error()
{
    $c = connect();
    $c->set('text', 'abc');
    equal(raises(ServerException::class, fn() => $c->incr('text')), 'ERR value is not an integer or out of range');
    equal($c->get('text'), 'abc');
}

function unknown()
{
    equal(
        raises(ServerException::class, fn() => connect()->lpush('k', 'v')),
        "ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' "
    );
}

function reconnect()
{
    $c = connect(3);
    $c->set('k', 'v');
    restarted();
    raises(ConnectionException::class, fn() => $c->get('k'));
    equal([$c->get('k'), (string)$c->set('k', 'new'), $c->get('k')], [null, 'OK', 'new']);
    equal([connect()->get('k'), connect(3)->get('k')], [null, 'new']);
}

main([
    ['resp2', 'resp2', ''],
    ['resp3', null, 'the library speaks RESP2 only'],
    ['handshake', 'handshake', 'the name with a call of its own after connecting'],
    ['ttl', 'ttl', ''],
    ['binary', 'binary', ''],
    ['large', 'large', ''],
    ['pipeline', 'pipeline', ''],
    ['many', 'many', ''],
    ['scan', 'scan', ''],
    ['transaction', 'transaction', ''],
    ['watch', 'watch', ''],
    ['execabort', 'execabort', ''],
    ['error', 'error', ''],
    ['unknown', 'unknown', ''],
    ['reconnect', 'reconnect', 'on the next use: one command fails before'],
]);
