# Makefile -- build, run, test, load test. Everything that is made goes to build/, but for the binary itself.
#
#   make            the server, ./sponson           make STATIC=1    one without any shared library
#   make run        serves on 127.0.0.1:7171        make test        every test; says what it installs
#   make asan tsan  the tests under the sanitizers  make container   builds and runs the image for real
#   make loadtest   Locust (loadtest/README.md)     make check-layers  the order of the includes
#   make test-clients test-frameworks test-differential   real clients; cache frameworks; beside a redis-server
#   make test-faults  what fails, fails: system calls, network, clock, memory    make soak   all of it at once
#   make bench      beside redis and memcached      make bench-memory  what is resident, evicted, expired

CC ?= cc
CFLAGS ?= -O2 -g
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion $(if $(CI),-Werror)
# Seven eighths of a static binary are libc: what nobody calls goes, and its unwind tables and symbols.
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread -ffunction-sections -fdata-sections \
             $(if $(STATIC),-fno-asynchronous-unwind-tables) $(WARNINGS) $(CFLAGS)
ALL_LDFLAGS = -pthread -Wl,--gc-sections $(if $(STATIC),-static -s) $(LDFLAGS)
PREFIX ?= /usr/local
BUILD ?= build
BINARY ?= sponson

# From top to bottom: a file includes only its own header and what stands to the right of it (make check-layers).
# config.h, the limits and defaults, is the bottom; config.c, which reads options, is not.
LAYERS = server worker command commands keyspace call client shard lru heap config resp host metrics buf log glob hash slice config.h
MODULES = worker command keyspace client shard lru heap config resp host metrics buf log
ARCHIVE = $(BUILD)/modules.a
TESTS = $(patsubst tests/%.c,$(BUILD)/%,$(wildcard tests/test_*.c))

all: $(BINARY)

$(BINARY): $(BUILD)/server.o $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -o $@ $^

# Tests link against this, so each gets only the modules that it needs.
$(ARCHIVE): $(MODULES:%=$(BUILD)/%.o)
	rm -f $@ && ar rcs $@ $^

# Another compiler or other flags make everything anew.
FLAGS := $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)
$(shell mkdir -p $(BUILD); echo '$(FLAGS)' | cmp -s - $(BUILD)/flags || echo '$(FLAGS)' > $(BUILD)/flags)

$(BUILD)/%.o: %.c Makefile $(BUILD)/flags
	$(CC) $(ALL_CFLAGS) -MMD -c -o $@ $<

$(BUILD)/test_%: tests/test_%.c $(ARCHIVE) tests/tap.h tests/random.h
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -o $@ $< $(ARCHIVE)

-include $(wildcard $(BUILD)/*.d)

run: $(BINARY)
	./$(BINARY)

# What the tests need is installed first, the compiler too: a second make sees it.
test:
	@tests/install.sh
	@$(MAKE) --no-print-directory test-binaries
	@SERVER=$(abspath $(BINARY)) tests/run.sh unit integration layers loadtest bench -- $(TESTS)

test-binaries: $(BINARY) $(TESTS)

# Real client libraries, cache frameworks on top of them, and random commands beside a redis-server.
test-clients test-frameworks: test-%:
	@tests/$*/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@SERVER=$(abspath $(BINARY)) tests/run.sh $* --

test-differential:
	@tests/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@SERVER=$(abspath $(BINARY)) tests/run.sh differential --

# System calls, the network, the clock, descriptors and memory that fail; storms of connections. It takes root.
# Then everything at once, for SOAK_SECONDS.
test-faults:
	@tests/faults/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@SERVER=$(abspath $(BINARY)) tests/run.sh faults --

SOAK_SECONDS ?= 600
soak:
	@tests/faults/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@SERVER=$(abspath $(BINARY)) SOAK_SECONDS=$(SOAK_SECONDS) tests/run.sh soak --

# The tests under a sanitizer, in a folder of its own. TSan wants gcc: lru.c reads ahead without a lock on purpose,
# and says so to both compilers, but clang still checks what is atomic.
SANITIZED = $(MAKE) --no-print-directory BUILD=build/$@ BINARY=build/$@/sponson CC=gcc LDFLAGS="$(1)" CFLAGS="-O1 -g $(1)"
asan tsan:
	@tests/install.sh
	@$(call SANITIZED,$(SANITIZE_$@)) test-binaries
	@SERVER=$(abspath build/$@/sponson) SANITIZER=$@ tests/run.sh unit integration -- $(TESTS:$(BUILD)/%=build/$@/%)
SANITIZE_asan = -fsanitize=address,undefined -fno-sanitize-recover=all
SANITIZE_tsan = -fsanitize=thread

check-layers:
	@awk -v order="$(LAYERS)" 'BEGIN { n = split(order, names); for (i = 1; i <= n; i++) rank[names[i]] = i } \
	  FNR == 1 { own = FILENAME; sub(/\.[ch]$$/, "", own) } \
	  FNR == 1 && (FILENAME in rank) { own = FILENAME } \
	  /^#include "/ { gsub(/"/, "", $$2); used = $$2; if (!(used in rank)) sub(/\.h$$/, "", used); \
	    if (!(used in rank) || !(own in rank) || rank[used] < rank[own]) { \
	      print FILENAME ": includes " $$2 ", which stands above it"; bad = 1 } } END { exit bad }' *.c *.h

container:
	tests/container.sh

loadtest: $(BINARY)
	SERVER=./$(BINARY) loadtest/run.sh

# Ten thousand users, a hundred more each second, for three minutes.
loadtest-full: $(BINARY)
	SERVER=./$(BINARY) USERS=10000 SPAWN_RATE=100 RUN_TIME=180s WORKERS=$${WORKERS:-2} loadtest/run.sh

# CPU per request and memory beside other servers, on this machine; some 5 minutes (options: BENCH="--rounds 3").
bench:
	@bench/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@SERVER=$(abspath $(BINARY)) BUILD=$(abspath $(BUILD)) /usr/bin/python3 bench/bench.py $(BENCH)

# What memory.py can tell without a trace of requests; some 5 minutes, 3 GB of memory.
bench-memory: $(BINARY)
	@for part in start idle phases "phases --maxmemory 1gb" flush expiry entries; do \
	  SERVER=$(abspath $(BINARY)) /usr/bin/python3 bench/memory.py $$part || failed=1; done; exit $${failed:-0}

install: $(BINARY)
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/sponson

format:
	clang-format -i *.c *.h tests/*.c tests/*.h bench/*.c bench/*.h

clean:
	rm -rf build $(BINARY)

.PHONY: all run test test-binaries test-clients test-frameworks test-differential test-faults soak asan tsan check-layers container loadtest loadtest-full bench bench-memory install format clean
