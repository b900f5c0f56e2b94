// go_redis.go -- what go-redis does with the server. How it is called stands in run.py.
package main

import (
	"fmt"
	"time"

	"gopkg.in/redis.v5"
)

func connect(database int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: server, DB: database, ReadTimeout: 30 * time.Second})
}

// get returns "(nothing)" for a key that does not exist.
func get(c *redis.Client, key string) string {
	value, err := c.Get(key).Result()
	if err == redis.Nil {
		return "(nothing)"
	}
	succeeds(err)
	return value
}

func set(c *redis.Client, key string, value interface{}) {
	succeeds(c.Set(key, value, 0).Err())
}

func list(c *redis.Client) string {
	text, err := c.ClientList().Result()
	succeeds(err)
	return text
}

// named names the client's one connection: an option for it came later.
func named(c *redis.Client, name string) *redis.Client {
	_, err := c.Pipelined(func(p *redis.Pipeline) error { return p.ClientSetName(name).Err() })
	succeeds(err)
	return c
}

func resp2() {
	c := named(connect(0), "plain")
	equal(c.Ping().Val(), "PONG")
	set(c, "k", "v")
	equal([]string{get(c, "k"), get(c, "nothing")}, []string{"v", "(nothing)"})
	equal(field(list(c), "plain", "resp"), "2")
}

func handshake() {
	c := named(connect(3), "the-name")
	set(c, "k", "in 3")
	equal(field(list(c), "the-name", "db"), "3")
	equal([]string{get(connect(0), "k"), get(connect(3), "k")}, []string{"(nothing)", "in 3"})
}

func ttl() {
	c := connect(0)
	succeeds(c.Set("seconds", "v", 100*time.Second).Err())              // EX
	succeeds(c.Set("milliseconds", "v", 100001*time.Millisecond).Err()) // PX
	succeeds(c.Set("short", "v", 30*time.Millisecond).Err())
	between(int64(c.TTL("seconds").Val()/time.Second), 90, 100)
	between(int64(c.PTTL("milliseconds").Val()/time.Millisecond), 90000, 100001)
	until(func() bool { return get(c, "short") == "(nothing)" })
	equal(get(c, "seconds"), "v")
}

func binary() {
	c := connect(0)
	up, down := allBytes()
	set(c, string(up), down)
	set(c, "empty", "")
	equal([]string{get(c, string(up)), get(c, "empty")}, []string{string(down), ""})
}

func large() {
	c := connect(0)
	set(c, "large", oneMB())
	equal(get(c, "large") == oneMB(), true)
}

func pipeline() {
	var sets []*redis.StatusCmd
	var gets []*redis.StringCmd
	_, err := connect(0).Pipelined(func(p *redis.Pipeline) error {
		for i := 0; i < many/2; i++ {
			sets = append(sets, p.Set(fmt.Sprint("key:", i), padded(i), 0))
			gets = append(gets, p.Get(fmt.Sprint("key:", i)))
		}
		return nil
	})
	succeeds(err)
	for i := range sets {
		equal([]string{sets[i].Val(), gets[i].Val()}, []string{"OK", padded(i)})
	}
}

func several() {
	c := connect(0)
	equal(c.MSet("a", 1, "b", "two").Val(), "OK")
	equal(c.MGet("a", "nothing", "b").Val(), []interface{}{"1", nil, "two"})
	equal(c.Incr("a").Val(), int64(2))
	equal(c.ExistsMulti("a", "b", "nothing").Val(), int64(2))
	equal(c.Del("a", "b", "nothing").Val(), int64(2))
	equal(c.ExistsMulti("a", "b").Val(), int64(0))
}

func scan() {
	c := connect(0)
	want, found := map[string]bool{}, map[string]bool{}
	for i := 0; i < 1000; i++ {
		want[fmt.Sprint("scan:", i)] = true
		succeeds(c.MSet(fmt.Sprint("scan:", i), i, fmt.Sprint("other:", i), i).Err())
	}
	iterator := c.Scan(0, "scan:*", 100).Iterator()
	for iterator.Next() {
		found[iterator.Val()] = true
	}
	succeeds(iterator.Err())
	equal(found, want)
}

func transaction() {
	p := connect(0).TxPipeline()
	first, second, third, fourth := p.Set("n", 1, 0), p.Incr("n"), p.Get("n"), p.Get("nothing")
	_, err := p.Exec()
	equal(err, redis.Nil) // of the last one
	equal([]string{first.Val(), third.Val()}, []string{"OK", "2"})
	equal([]interface{}{second.Val(), fourth.Err()}, []interface{}{int64(2), redis.Nil})
}

func watch() {
	c, other := connect(0), connect(0)
	mine := func(p *redis.Pipeline) error { return p.Set("k", "mine", 0).Err() }
	equal(c.Watch(func(t *redis.Tx) error {
		set(other, "k", "other")
		_, err := t.Pipelined(mine)
		return err
	}, "k"), redis.TxFailedErr)
	equal(get(c, "k"), "other")
	succeeds(c.Watch(func(t *redis.Tx) error {
		_, err := t.Pipelined(mine)
		return err
	}, "k"))
	equal(get(c, "k"), "mine")
}

func execabort() {
	c := connect(0)
	p := c.TxPipeline()
	p.Set("k", "v", 0)
	wrong := redis.NewCmd("GET")
	succeeds(p.Process(wrong))
	_, err := p.Exec()
	equal(err.Error(), "EXECABORT Transaction discarded because of previous errors.")
	equal(get(c, "k"), "(nothing)")
}

func errorReply() {
	c := connect(0)
	set(c, "text", "abc")
	equal(c.Incr("text").Err().Error(), "ERR value is not an integer or out of range")
	equal(get(c, "text"), "abc")
}

func unknown() {
	equal(connect(0).LPush("k", "v").Err().Error(),
		"ERR unknown command 'lpush', with args beginning with: 'k' 'v' ")
}

// reconnect lets the library try once more, which is an option.
func reconnect() {
	c := redis.NewClient(&redis.Options{Addr: server, DB: 3, MaxRetries: 1})
	set(c, "k", "v")
	restarted()
	equal(get(c, "k"), "(nothing)")
	set(c, "k", "new")
	equal([]string{get(connect(0), "k"), get(connect(3), "k")}, []string{"(nothing)", "new"})
}

func main() {
	run([]capability{
		{"resp2", resp2, ""},
		{"resp3", nil, "the library speaks RESP2 only"},
		{"handshake", handshake, "the name with a call of its own after connecting"},
		{"ttl", ttl, ""},
		{"binary", binary, ""},
		{"large", large, ""},
		{"pipeline", pipeline, ""},
		{"many", several, ""},
		{"scan", scan, ""},
		{"transaction", transaction, ""},
		{"watch", watch, ""},
		{"execabort", execabort, ""},
		{"error", errorReply, ""},
		{"unknown", unknown, ""},
		{"reconnect", reconnect, ""},
	})
}
