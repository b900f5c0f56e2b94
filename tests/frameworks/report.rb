# report.rb -- what the Ruby programs here share; report.py tells what each of these means.
require "json"

class Failure < StandardError
end

def check(condition, message)
    raise Failure, message unless condition
end

def equal(got, want)
    check(got == want, "got #{got.inspect[0, 300]}, not #{want.inspect[0, 300]}")
end

def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def wait_until(what, seconds = 60)
    deadline = now + seconds
    until yield
        check(now < deadline, "not within #{seconds} s: #{what}")
        sleep 0.01
    end
end

def expires(seconds, write, there)
    began = nil
    loop do
        began = now
        write.call
        break if there.call
        check(now - began > seconds - 0.05, "it is gone at once") # or the machine had stopped somebody: again
    end
    wait_until("what lives #{seconds} s is gone") { !there.call }
    lived = now - began
    check(lived > seconds - 0.05, "it was gone after #{lived} s, not #{seconds}")
end

def say(report)
    puts JSON.generate(report)
    $stdout.flush
    exit 1 unless $stdin.gets
end

def about(versions)
    say(about: versions)
end

def works(capability, note = "")
    yield
    say(capability: capability, result: "works", note: note)
rescue StandardError => error
    lines = (error.backtrace || []).reverse.map { |line| File.basename(line)[/\A[^:]*:\d+/] }.join(" ")
    say(capability: capability, result: "failed", why: "#{lines}: #{error.class}: #{error.message}")
end

def absent(*capabilities)
    capabilities.each { |capability| say(capability: capability, result: "absent") }
end
