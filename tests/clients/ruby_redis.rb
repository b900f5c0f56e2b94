# ruby_redis.rb -- what the gem redis does with the server. How it is called stands in run.py.
require "redis"

PORT = ARGV[0].to_i
MANY = 10_000 # commands in one pipeline
ALL_BYTES = (0..255).to_a.pack("C*")
$stdout.sync = true

def connect(**options)
    Redis.new(host: "127.0.0.1", port: PORT, timeout: 30, **options)
end

def equal(got, want)
    raise "got #{got.inspect[0, 300]}, not #{want.inspect[0, 300]}" unless got == want
end

# The text of the error that this block raises.
def raises(kind)
    begin
        got = yield
    rescue kind => e
        return e.message
    end
    raise "no #{kind} but #{got.inspect}"
end

def wait_until
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
    until yield
        raise "not within 20 s" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
        sleep 0.002
    end
end

# The parsed line of CLIENT LIST for the connection of this name.
def named(c, name)
    c.client(:list).find { |line| line["name"] == name }
end

def resp2
    c = connect(id: "plain")
    equal(c.ping, "PONG")
    equal([c.set("k", "v"), c.get("k"), c.get("nothing")], ["OK", "v", nil])
    equal(named(c, "plain")["resp"], "2")
end

def handshake
    c = connect(db: 3, id: "the-name")
    c.set("k", "in 3")
    equal(named(c, "the-name")["db"], "3")
    equal([connect.get("k"), connect(db: 3).get("k")], [nil, "in 3"])
end

def ttl
    c = connect
    c.set("seconds", "v", ex: 100)
    c.set("milliseconds", "v", px: 100_000)
    c.set("short", "v", px: 30)
    equal([c.ttl("seconds").between?(90, 100), c.pttl("milliseconds").between?(90_000, 100_000)], [true, true])
    wait_until { c.get("short").nil? }
    equal([c.ttl("short"), c.get("seconds")], [-2, "v"])
end

def binary
    c = connect
    c.set(ALL_BYTES, ALL_BYTES.reverse)
    c.set("empty", "")
    equal([c.get(ALL_BYTES).b, c.get("empty")], [ALL_BYTES.reverse, ""])
end

def large
    value = (0...(1 << 17)).map { |i| format("%08x", i) }.join
    c = connect
    c.set("large", value)
    raise "another value came back" unless c.get("large") == value
end

def pipeline
    replies = connect.pipelined do |p|
        (MANY / 2).times do |i|
            p.set("key:#{i}", format("%01000d", i))
            p.get("key:#{i}")
        end
    end
    equal(replies, (MANY / 2).times.flat_map { |i| ["OK", format("%01000d", i)] })
end

def many
    c = connect
    equal(c.mapped_mset("a" => 1, "b" => "two"), "OK")
    equal([c.mget("a", "nothing", "b"), c.incr("a")], [["1", nil, "two"], 2])
    equal([c.exists("a", "b", "nothing"), c.del("a", "b", "nothing"), c.exists("a", "b")], [2, 2, 0])
end

def scan
    c = connect
    keys = 1000.times.map { |i| "scan:#{i}" }
    c.mset(*keys.flat_map { |key| [key, 1, "other#{key}", 1] })
    equal(c.scan_each(match: "scan:*", count: 100).to_a.uniq.sort, keys.sort)
end

def transaction
    replies = connect.multi do |t|
        t.set("n", 1)
        t.incr("n")
        t.get("n")
        t.get("nothing")
    end
    equal(replies, ["OK", 2, "2", nil])
end

def watch
    c = connect
    other = connect
    aborted = c.watch("k") do
        other.set("k", "the other's")
        c.multi { |t| t.set("k", "mine") }
    end
    equal([aborted, c.get("k")], [nil, "the other's"])
    equal(c.watch("k") { c.multi { |t| t.set("k", "mine") } }, ["OK"])
    equal(c.get("k"), "mine")
end

def execabort
    c = connect
    text = raises(Redis::CommandError) do
        c.multi do |t|
            t.set("k", "v")
            t.call([:get])
        end
    end
    equal(text, "ERR wrong number of arguments for 'get' command") # the library raises this in the place of EXECABORT
    equal(c.get("k"), nil)
end

def error
    c = connect
    c.set("text", "abc")
    equal(raises(Redis::CommandError) { c.incr("text") }, "ERR value is not an integer or out of range")
    equal(c.get("text"), "abc")
end

def unknown
    text = raises(Redis::CommandError) { connect.lpush("k", "v") }
    equal(text, "ERR unknown command 'lpush', with args beginning with: 'k' 'v'") # the library strips the text
end

def reconnect
    c = connect(db: 3, id: "again")
    c.set("k", "v")
    puts "RESTART"
    $stdin.gets
    equal([c.get("k"), c.set("k", "new"), c.get("k")], [nil, "OK", "new"])
    equal(named(c, "again")["db"], "3")
end

CAPABILITIES = [
    [:resp2, true, ""],
    [:resp3, false, "the library speaks RESP2 only"],
    [:handshake, true, ""],
    [:ttl, true, ""],
    [:binary, true, ""],
    [:large, true, ""],
    [:pipeline, true, ""],
    [:many, true, ""],
    [:scan, true, ""],
    [:transaction, true, ""],
    [:watch, true, ""],
    [:execabort, true, ""],
    [:error, true, ""],
    [:unknown, true, ""],
    [:reconnect, true, ""],
].freeze

if PORT.zero?
    CAPABILITIES.each { |name, has, remark| puts "#{has ? '+' : '-'} #{name} #{remark}" }
else
    send(ARGV[1])
end
