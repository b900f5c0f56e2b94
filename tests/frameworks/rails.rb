# rails.rb -- Rails.cache with the :redis_cache_store, which needs nothing of Rails but ActiveSupport.
require_relative "report"
require "active_support"
require "active_support/cache"
require "active_support/cache/redis_cache_store"
require "active_support/core_ext/numeric"
require "active_support/notifications"

# The store takes every error of the server for a miss unless it is told what to do with one.
NOTE_DOWN = ->(method:, returning:, exception:) { $refused = "#{method}: #{exception.message}" }

def make_store(database = 0, **options)
    url = "redis://127.0.0.1:#{ENV.fetch("PORT")}/#{database}"
    ActiveSupport::Cache.lookup_store(:redis_cache_store, url: url, error_handler: NOTE_DOWN, **options)
end

# A capability works only if the store swallowed no error, either.
def works_aloud(capability, note = "")
    works(capability, note) do
        $refused = nil
        yield
        equal($refused, nil)
    end
end

cache = make_store(namespace: "shop")
about("ActiveSupport #{ActiveSupport::VERSION::STRING}, redis-rb #{Redis::VERSION}, Ruby #{RUBY_VERSION}")

works_aloud("get and set") do
    equal(cache.read("nobody"), nil)
    ["text", "", "Grüße", "\r\n\0\xff".b, 17, 2.5, true, false, { "a" => [1, 2] }, :symbol, "x" * 100_000].each do |value|
        check(cache.write("value", value), "write")
        equal(cache.read("value"), value)
    end
    check(cache.write("raw", "as it is", raw: true), "write")
    equal(cache.read("raw", raw: true), "as it is")
    equal([cache.exist?("value"), cache.exist?("nobody")], [true, false])
end

works_aloud("get or compute") do
    calls = 0
    compute = -> { cache.fetch("computed", expires_in: 60, race_condition_ttl: 5) { calls += 1 } }
    equal([compute.call, compute.call, calls], [1, 1, 1])
    equal(cache.fetch("computed", force: true) { "anew" }, "anew")
    equal(cache.fetch_multi("f1", "computed") { |name| name * 2 }, { "f1" => "f1f1", "computed" => "anew" })
end

works_aloud("add", "`write(..., unless_exist: true)`") do
    equal(cache.write("seat", "first", unless_exist: true, expires_in: 60), true)
    equal(cache.write("seat", "second", unless_exist: true, expires_in: 60), false)
    equal(cache.read("seat"), "first")
end

works_aloud("many") do
    cache.write_multi((0...200).to_h { |i| ["many#{i}", i] })
    equal(cache.read_multi("many0", "nobody", "many199"), { "many0" => 0, "many199" => 199 })
    cache.write_multi({ "a" => 1, "b" => 2 }, expires_in: 60)
    equal(cache.read_multi("a", "b"), { "a" => 1, "b" => 2 })
end

works_aloud("increment") do
    cache.write("hits", 10, raw: true)
    equal([cache.increment("hits"), cache.increment("hits", 5), cache.decrement("hits", 6)], [11, 16, 10])
    equal(cache.read("hits", raw: true), "10")
    equal(cache.increment("new", 1, expires_in: 60), 1)
    equal(cache.increment("new", 1, expires_in: 60), 2)
    check((50..60).cover?(cache.redis.ttl("shop:new")), "it has a time to live")
end

works_aloud("expiry") do
    expires(0.3, -> { cache.write("brief", 1, expires_in: 0.3) }, -> { cache.exist?("brief") })
    # A raw value has no time in itself: it goes when the server lets it go.
    expires(0.3, -> { cache.write("brief", 1, expires_in: 0.3, raw: true) }, -> { cache.read("brief", raw: true) == "1" })
end

works_aloud("delete") do
    cache.write("gone", 1)
    equal([cache.delete("gone"), cache.delete("gone"), cache.read("gone")], [1, 0, nil])
end

works_aloud("delete many") do
    cache.write_multi({ "d0" => 0, "d1" => 1, "d2" => 2 })
    equal(cache.delete_multi(%w[d0 d2 nobody]), 2)
    equal(cache.read_multi("d0", "d1", "d2"), { "d1" => 1 })
end

works_aloud("delete by pattern") do
    cache.write_multi((0...300).to_h { |i| ["page:#{i}", i] })
    cache.write("pages", "stay")
    cache.delete_matched("page:[0-9]*")
    equal(cache.read_multi("page:0", "page:299", "pages"), { "pages" => "stay" })
end

works_aloud("prefixes") do
    other = make_store(namespace: "news")
    cache.write("same", "shop")
    other.write("same", "news")
    equal([cache.read("same"), other.read("same")], %w[shop news])
end

works_aloud("versions", "a record's `cache_version`; an entry of another version is a miss") do
    cache.write("record", "old", version: "1")
    equal([cache.read("record", version: "1"), cache.read("record", version: "2"), cache.read("record")], ["old", nil, "old"])
    equal(cache.fetch("record", version: "2") { "new" }, "new")
end

works_aloud("database") do
    elsewhere = make_store(1, namespace: "shop")
    cache.write("place", "here")
    equal(elsewhere.read("place"), nil)
    elsewhere.write("place", "there")
    make_store(1).clear
    equal([cache.read("place"), elsewhere.read("place")], ["here", nil])
end

works_aloud("clear", "with a namespace by SCAN and DEL, without by FLUSHDB") do
    other = make_store(namespace: "news")
    cache.write("a", 1)
    other.write("a", 2)
    cache.clear
    equal([cache.read("a"), other.read("a")], [nil, 2])
    make_store.clear
    equal(other.read("a"), nil)
end

%i[touch lock tags].each { |name| check(!cache.respond_to?(name), "Rails has #{name} by now") }
absent("touch", "tags", "lock", "stale lock")
