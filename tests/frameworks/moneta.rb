# moneta.rb -- Moneta's one interface to many stores, over its Redis adapter.
require_relative "report"
require "moneta"
require "moneta/version"

def make_store(database = 0, **options)
    Moneta.new(:Redis, host: "127.0.0.1", port: ENV.fetch("PORT").to_i, db: database, threadsafe: true, **options)
end

cache = make_store(prefix: "shop:")
about("Moneta #{Moneta::VERSION}, redis-rb #{Redis::VERSION}, Ruby #{RUBY_VERSION}")

works("get and set") do
    equal(cache["nobody"], nil)
    ["text", "", "Grüße", "\r\n\0\xff".b, 17, 2.5, true, { "a" => [1, 2] }, "x" * 100_000].each do |value|
        cache["value"] = value
        equal(cache["value"], value)
    end
    equal([cache.key?("value"), cache.key?("nobody")], [true, false])
end

works("get or compute") do
    equal(cache.fetch("computed") { "anew" }, "anew")
    cache.store("computed", "kept")
    equal(cache.fetch("computed") { "anew" }, "kept")
end

works("add", "`create`") do
    equal([cache.create("seat", "first", expires: 60), cache.create("seat", "second", expires: 60)], [true, false])
    equal(cache["seat"], "first")
end

works("many") do
    cache.merge!((0...200).to_h { |i| ["many#{i}", i] })
    equal(cache.values_at("many0", "nobody", "many199"), [0, nil, 199])
    cache.merge!({ "many0" => 5 }) { |_key, old, new| old + new }
    equal(cache.fetch_values("many0", "nobody") { "missing" }, [5, "missing"])
    equal(cache.slice("many1", "nobody").to_a, [["many1", 1]])
    check(cache.each_key.to_a.size >= 200, "each_key")
end

works("increment") do
    equal([cache.increment("hits", 10), cache.increment("hits"), cache.decrement("hits", 5)], [10, 11, 6])
    equal(cache.load("hits", raw: true), "6")
end

works("expiry") do
    expires(0.3, -> { cache.store("brief", 1, expires: 0.3) }, -> { cache.load("brief") == 1 })
    expires(0.3, -> { cache.create("brief", 1, expires: 0.3) }, -> { cache.key?("brief") })
end

works("touch", "`load(key, expires: seconds)`, in a MULTI") do
    cache.store("touched", 1, expires: 2)
    equal(cache.load("touched", expires: 60), 1)
    cache.store("witness", 1, expires: 2)
    wait_until("what was not touched is gone") { !cache.key?("witness") }
    equal(cache.load("touched", expires: false), 1)
    equal(cache.load("touched"), 1)
end

works("delete") do
    cache["gone"] = 1
    equal([cache.delete("gone"), cache.delete("gone"), cache.key?("gone")], [1, nil, false])
end

works("prefixes") do
    other = make_store(prefix: "news:")
    cache["same"] = "shop"
    other["same"] = "news"
    equal([cache["same"], other["same"]], %w[shop news])
end

works("database") do
    elsewhere = make_store(1, prefix: "shop:")
    cache["place"] = "here"
    equal(elsewhere["place"], nil)
    elsewhere["place"] = "there"
    elsewhere.clear
    equal([cache["place"], elsewhere["place"]], ["here", nil])
end

# A mutex for several processes, on `create`. It is deleted by whoever believes to hold it, so there is no stale lock
# to try: it does not expire.
works("lock", "`Moneta::Mutex`; it has no time to live") do
    first, second = Array.new(2) { Moneta::Mutex.new(cache, "report") }
    equal([first.lock, second.try_lock, first.locked?], [true, false, true])
    first.unlock
    equal([second.try_lock, second.unlock].first, true)
    equal(first.synchronize { "done" }, "done")
end

works("clear") do
    everything = make_store
    everything["a"] = 1
    everything.clear
    equal(everything["a"], nil)
end

%i[delete_matched tags].each { |name| check(!cache.respond_to?(name), "Moneta has #{name} by now") }
absent("delete many", "delete by pattern", "versions", "tags", "stale lock")
