// redigo.go -- what redigo does with the server. How it is called stands in run.py.
package main

import (
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
)

const unknownText = "ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' "

func connect(options ...redis.DialOption) redis.Conn {
	c, err := redis.Dial("tcp", server, append(options, redis.DialReadTimeout(30*time.Second))...)
	succeeds(err)
	return c
}

// ask sends one command, which must not fail.
func ask(c redis.Conn, command string, args ...interface{}) interface{} {
	reply, err := c.Do(command, args...)
	if err != nil {
		fail("%s: %v", command, err)
	}
	return reply
}

// refused sends one command and returns the server's error.
func refused(c redis.Conn, command string, args ...interface{}) string {
	reply, err := c.Do(command, args...)
	if text, is := err.(redis.Error); is {
		return string(text)
	}
	fail("%s: no redis.Error but %v %v", command, reply, err)
	return ""
}

func list(c redis.Conn) string {
	return string(ask(c, "CLIENT", "LIST").([]byte))
}

func resp2() {
	c := connect(redis.DialClientName("plain"))
	equal(ask(c, "PING"), "PONG")
	equal(ask(c, "SET", "k", "v"), "OK")
	equal(ask(c, "GET", "k"), []byte("v"))
	equal(ask(c, "GET", "nothing"), nil)
	equal(field(list(c), "plain", "resp"), "2")
}

func handshake() {
	c := connect(redis.DialClientName("the-name"), redis.DialDatabase(3))
	ask(c, "SET", "k", "in 3")
	equal(field(list(c), "the-name", "db"), "3")
	equal(ask(connect(), "GET", "k"), nil)
	equal(ask(connect(redis.DialDatabase(3)), "GET", "k"), []byte("in 3"))
}

func ttl() {
	c := connect()
	ask(c, "SET", "seconds", "v", "EX", 100)
	ask(c, "SET", "milliseconds", "v", "PX", 100000)
	ask(c, "SET", "short", "v", "PX", 30)
	between(ask(c, "TTL", "seconds").(int64), 90, 100)
	between(ask(c, "PTTL", "milliseconds").(int64), 90000, 100000)
	until(func() bool { return ask(c, "GET", "short") == nil })
	equal(ask(c, "TTL", "short"), int64(-2))
	equal(ask(c, "GET", "seconds"), []byte("v"))
}

func binary() {
	c := connect()
	up, down := allBytes()
	ask(c, "SET", up, down)
	ask(c, "SET", "empty", "")
	equal(ask(c, "GET", up), down)
	equal(ask(c, "GET", "empty"), []byte{})
}

func large() {
	c := connect()
	ask(c, "SET", "large", oneMB())
	equal(string(ask(c, "GET", "large").([]byte)) == oneMB(), true)
}

func pipeline() {
	c := connect()
	for i := 0; i < many/2; i++ {
		succeeds(c.Send("SET", fmt.Sprint("key:", i), padded(i)))
		succeeds(c.Send("GET", fmt.Sprint("key:", i)))
	}
	succeeds(c.Flush())
	for i := 0; i < many; i++ {
		reply, err := redis.String(c.Receive())
		succeeds(err)
		equal(reply, map[bool]string{true: "OK", false: padded(i / 2)}[i%2 == 0])
	}
}

func several() {
	c := connect()
	equal(ask(c, "MSET", "a", 1, "b", "two"), "OK")
	equal(ask(c, "MGET", "a", "nothing", "b"), []interface{}{[]byte("1"), nil, []byte("two")})
	equal(ask(c, "INCR", "a"), int64(2))
	equal(ask(c, "EXISTS", "a", "b", "nothing"), int64(2))
	equal(ask(c, "DEL", "a", "b", "nothing"), int64(2))
	equal(ask(c, "EXISTS", "a", "b"), int64(0))
}

func scan() {
	c := connect()
	want := map[string]bool{}
	for i := 0; i < 1000; i++ {
		want[fmt.Sprint("scan:", i)] = true
		ask(c, "MSET", fmt.Sprint("scan:", i), i, fmt.Sprint("other:", i), i)
	}
	found := map[string]bool{}
	for cursor := "0"; ; {
		var keys []string
		page, err := redis.Values(c.Do("SCAN", cursor, "MATCH", "scan:*", "COUNT", 100))
		succeeds(err)
		_, err = redis.Scan(page, &cursor, &keys)
		succeeds(err)
		for _, key := range keys {
			found[key] = true
		}
		if cursor == "0" {
			break
		}
	}
	equal(found, want)
}

func transaction() {
	c := connect()
	succeeds(c.Send("MULTI"))
	succeeds(c.Send("SET", "n", 1))
	succeeds(c.Send("INCR", "n"))
	succeeds(c.Send("GET", "n"))
	succeeds(c.Send("GET", "nothing"))
	equal(ask(c, "EXEC"), []interface{}{"OK", int64(2), []byte("2"), nil})
}

func watch() {
	c, other := connect(), connect()
	ask(c, "WATCH", "k")
	ask(other, "SET", "k", "other")
	succeeds(c.Send("MULTI"))
	succeeds(c.Send("SET", "k", "mine"))
	equal(ask(c, "EXEC"), nil)
	equal(ask(c, "GET", "k"), []byte("other"))
	ask(c, "WATCH", "k")
	succeeds(c.Send("MULTI"))
	succeeds(c.Send("SET", "k", "mine"))
	equal(ask(c, "EXEC"), []interface{}{"OK"})
	equal(ask(c, "GET", "k"), []byte("mine"))
}

func execabort() {
	c := connect()
	ask(c, "MULTI")
	equal(ask(c, "SET", "k", "v"), "QUEUED")
	equal(refused(c, "GET"), "ERR wrong number of arguments for 'get' command")
	equal(refused(c, "EXEC"), "EXECABORT Transaction discarded because of previous errors.")
	equal(ask(c, "GET", "k"), nil)
}

func errorReply() {
	c := connect()
	ask(c, "SET", "text", "abc")
	equal(refused(c, "INCR", "text"), "ERR value is not an integer or out of range")
	equal(ask(c, "GET", "text"), []byte("abc"))
}

func unknown() {
	equal(refused(connect(), "LPUSH", "k", "v"), unknownText)
}

// reconnect takes its connections from a pool, which tries each before it hands it out: the documented way.
func reconnect() {
	pool := redis.Pool{
		Dial: func() (redis.Conn, error) {
			return redis.Dial("tcp", server, redis.DialClientName("again"), redis.DialDatabase(3))
		},
		TestOnBorrow: func(c redis.Conn, _ time.Time) error {
			_, err := c.Do("PING")
			return err
		},
		MaxIdle: 1,
	}
	c := pool.Get()
	ask(c, "SET", "k", "v")
	succeeds(c.Close())
	restarted()
	c = pool.Get()
	equal(ask(c, "GET", "k"), nil)
	equal(ask(c, "SET", "k", "new"), "OK")
	equal(field(list(c), "again", "db"), "3")
}

func main() {
	run([]capability{
		{"resp2", resp2, ""},
		{"resp3", nil, "the library speaks RESP2 only"},
		{"handshake", handshake, ""},
		{"ttl", ttl, ""},
		{"binary", binary, ""},
		{"large", large, ""},
		{"pipeline", pipeline, ""},
		{"many", several, ""},
		{"scan", scan, "cursor by cursor: the library has no iterator"},
		{"transaction", transaction, ""},
		{"watch", watch, ""},
		{"execabort", execabort, ""},
		{"error", errorReply, ""},
		{"unknown", unknown, ""},
		{"reconnect", reconnect, "by its pool"},
	})
}
