# Makefile -- build, run, test, load test. Everything that is made goes to build/, but for the binary itself.
#
#   make            the server, ./sponson           make STATIC=1    one without any shared library
#   make run        serves on 127.0.0.1:7171        make test        every test; says what it installs
#   make asan tsan  the tests under the sanitizers  make container   builds and runs the image for real
#   make fuzz       libFuzzer on the parser, whole connections and the configuration (FUZZ_SECONDS=60)
#   make coverage   which share of the lines the tests run
#   make loadtest   Locust (loadtest/README.md)     make check-layers check-size  order and size of the server
#   make test-clients test-frameworks test-differential   real clients; cache frameworks; beside a redis-server
#   make test-tools Prometheus, its exporter for Redis, webdis, redis-commander, collectd
#   make test-stress  all commands on few keys under TSan, and whether recorded histories are linearizable
#   make test-faults  what fails, fails: system calls, network, clock, memory    make soak   all of it at once
#   make test-deploy  what is installed, service, alerts, dashboard, Docker compose, Kubernetes
#   make bench      beside redis and memcached      make bench-memory  what is resident, evicted, expired
#   make install    DESTDIR, PREFIX                 make docs        the man page and conf/sponson.conf

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
LAYERS = server admin worker command commands info figures keyspace call client shard lru heap config options resp host metrics buf log glob sample hash slice config.h
MODULES = admin worker command info keyspace client shard lru heap config resp host buf
ARCHIVE = $(BUILD)/modules.a
FUZZERS = resp connection config
TESTS = $(patsubst tests/%.c,$(BUILD)/%,$(wildcard tests/test_*.c)) $(FUZZERS:%=$(BUILD)/replay_%)

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

# Two of the modules come with what checks them, ahead of the archive.
CHECKED = $(BUILD)/check_lru.o $(BUILD)/check_heap.o
$(BUILD)/check_%.o: tests/check_%.c Makefile $(BUILD)/flags
	$(CC) $(ALL_CFLAGS) -MMD -c -o $@ $<

$(BUILD)/test_%: tests/test_%.c $(CHECKED) $(ARCHIVE) tests/tap.h tests/random.h
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -o $@ $< $(CHECKED) $(ARCHIVE)

# The fuzzers twice: with libFuzzer, and as tests that run the inputs which are kept.
$(BUILD)/fuzz_%.o: tests/fuzz/fuzz_%.c Makefile $(BUILD)/flags
	$(CC) $(ALL_CFLAGS) -MMD -c -o $@ $<

$(BUILD)/replay.o: tests/fuzz/replay.c Makefile $(BUILD)/flags
	$(CC) $(ALL_CFLAGS) -MMD -c -o $@ $<

.SECONDARY: $(FUZZERS:%=$(BUILD)/fuzz_%.o) $(CHECKED)
$(BUILD)/replay_%: $(BUILD)/fuzz_%.o $(BUILD)/replay.o $(CHECKED) $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -o $@ $^

$(BUILD)/fuzzer_%: $(BUILD)/fuzz_%.o $(CHECKED) $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^

-include $(wildcard $(BUILD)/*.d)

run: $(BINARY)
	./$(BINARY)

# What the tests need is installed first, the compiler too: a second make sees it.
test:
	@tests/install.sh
	@$(MAKE) --no-print-directory test-binaries
	@SERVER=$(abspath $(BINARY)) tests/run.sh unit integration layers docs loadtest bench -- $(TESTS)

test-binaries: $(BINARY) $(TESTS) $(BUILD)/generate

# Real client libraries, cache frameworks on top of them, tools that are put in front, and random commands beside a
# redis-server.
test-clients test-frameworks test-tools: test-%:
	@tests/$*/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@SERVER=$(abspath $(BINARY)) tests/run.sh $* --

test-differential:
	@tests/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@SERVER=$(abspath $(BINARY)) tests/run.sh differential --

# What is installed, conf/ and examples/, with the real tools: systemd, Prometheus, Docker. It takes root.
test-deploy:
	@tests/deploy/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@$(MAKE) --no-print-directory STATIC=1 BUILD=build/static BINARY=build/static/sponson
	@SERVER=$(abspath $(BINARY)) IMAGE_BINARY=$(abspath build/static/sponson) tests/run.sh deploy --

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

# The tests under a sanitizer, in a folder of its own. UBSan wants clang, which alone minds NULL + 0. TSan wants gcc:
# lru.c reads ahead without a lock on purpose, and says so to both compilers, but clang still checks what is atomic.
SANITIZED = $(MAKE) --no-print-directory BUILD=build/$(1) BINARY=build/$(1)/sponson CC=$(COMPILER_$(1)) \
            LDFLAGS="$(SANITIZE_$(1))" CFLAGS="-O1 -g $(SANITIZE_$(1))"
asan tsan:
	@tests/fuzz/install.sh
	@tests/install.sh
	@$(call SANITIZED,$@) test-binaries
	@SERVER=$(abspath build/$@/sponson) SANITIZER=$@ tests/run.sh unit integration -- $(TESTS:$(BUILD)/%=build/$@/%)
SANITIZE_asan = -fsanitize=address,undefined -fno-sanitize-recover=all
SANITIZE_tsan = -fsanitize=thread
COMPILER_asan = clang
COMPILER_tsan = gcc

# Two times STRESS_SECONDS, and half of that for histories; SANITIZER=asan for the other one.
test-stress: SANITIZER ?= tsan
test-stress:
	@tests/fuzz/install.sh
	@tests/install.sh
	@$(MAKE) --no-print-directory $(BINARY)
	@$(call SANITIZED,$(SANITIZER)) build/$(SANITIZER)/sponson
	@SERVER=$(abspath build/$(SANITIZER)/sponson) PLAIN_SERVER=$(abspath $(BINARY)) tests/run.sh stress --

# libFuzzer under both sanitizers: each fuzzer for FUZZ_SECONDS, side by side. See tests/fuzz/run.py.
FUZZ_SECONDS ?= 60
FUZZ_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_COUNTED = -fsanitize=fuzzer-no-link -fsanitize-coverage-ignorelist=tests/fuzz/uncounted.txt
fuzz:
	@tests/fuzz/install.sh
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang LDFLAGS="$(FUZZ_FLAGS)" \
	  CFLAGS="-O1 -g $(FUZZ_FLAGS) $(FUZZ_COUNTED)" $(FUZZERS:%=build/fuzz/fuzzer_%)
	@FUZZERS=$(abspath build/fuzz) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run.sh fuzz --

# Which lines the tests run; SHOW=1 says which they do not. A file's bound is in tests/coverage.sh.
coverage:
	@tests/install.sh
	@rm -f build/coverage/*.gcda
	@$(MAKE) --no-print-directory BUILD=build/coverage BINARY=build/coverage/sponson CC=gcc LDFLAGS=--coverage \
	  CFLAGS="-O1 -g --coverage" test-binaries
	@SERVER=$(abspath build/coverage/sponson) COVERAGE=build/coverage \
	  tests/run.sh unit integration coverage -- $(TESTS:$(BUILD)/%=build/coverage/%)

check-layers:
	@awk -v order="$(LAYERS)" 'BEGIN { n = split(order, names); for (i = 1; i <= n; i++) rank[names[i]] = i } \
	  FNR == 1 { own = FILENAME; sub(/\.[ch]$$/, "", own) } \
	  FNR == 1 && (FILENAME in rank) { own = FILENAME } \
	  /^#include "/ { gsub(/"/, "", $$2); used = $$2; if (!(used in rank)) sub(/\.h$$/, "", used); \
	    if (!(used in rank) || !(own in rank) || rank[used] < rank[own]) { \
	      print FILENAME ": includes " $$2 ", which stands above it"; bad = 1 } } END { exit bad }' *.c *.h

# The server is to stay small: its lines of code, headers and tables counted, comments and blank lines not; and its files.
check-size:
	@files=$$(ls *.c | wc -l); lines=$$(for f in *.c *.h; do gcc -fpreprocessed -dD -E -P $$f; done | grep -c '[^[:space:]]'); \
	  echo "# $$lines lines of code, $$files .c files"; test $$lines -lt 8000 -a $$files -le 14

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
	@for part in start idle phases "phases --maxmemory 1gb" flush scrape expiry entries; do \
	  SERVER=$(abspath $(BINARY)) /usr/bin/python3 bench/memory.py $$part || failed=1; done; exit $${failed:-0}

# Binary, man page, configuration (one that is there already stays) and service, below DESTDIR.
SYSCONFDIR ?= $(patsubst /usr/etc,/etc,$(PREFIX)/etc)
UNIT = $(PREFIX)/lib/systemd/system/sponson.service
install: $(BINARY)
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/sponson
	install -D -m 644 docs/sponson.1 $(DESTDIR)$(PREFIX)/share/man/man1/sponson.1
	test -e $(DESTDIR)$(SYSCONFDIR)/sponson/sponson.conf || \
	  install -D -m 644 conf/sponson.conf $(DESTDIR)$(SYSCONFDIR)/sponson/sponson.conf
	install -D -m 644 conf/sponson.service $(DESTDIR)$(UNIT)
	sed -i 's|@PREFIX@|$(PREFIX)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' $(DESTDIR)$(UNIT)

# All but the configuration.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/sponson $(DESTDIR)$(PREFIX)/share/man/man1/sponson.1 $(DESTDIR)$(UNIT)

# The man page and the commented configuration come from the tables; what is kept has to be what they say.
$(BUILD)/generate: docs/generate.c $(ARCHIVE)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -o $@ $< $(ARCHIVE)

docs: $(BUILD)/generate
	$(BUILD)/generate man > docs/sponson.1
	$(BUILD)/generate conf > conf/sponson.conf

check-docs: $(BUILD)/generate
	@$(BUILD)/generate man | diff docs/sponson.1 - && $(BUILD)/generate conf | diff conf/sponson.conf - || \
	  { echo "stale: make docs"; false; }

format:
	clang-format -i *.c *.h tests/*.c tests/*.h tests/stress/*.c tests/fuzz/*.c tests/fuzz/*.h bench/*.c bench/*.h docs/*.c

clean:
	rm -rf build $(BINARY)

.PHONY: all run test test-binaries test-clients test-frameworks test-tools test-differential test-deploy test-stress test-faults soak asan tsan fuzz coverage check-layers check-size container loadtest loadtest-full bench bench-memory install uninstall docs check-docs format clean
