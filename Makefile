# Makefile -- build, run, test. `make help` lists the targets.

CC ?= cc
CFLAGS ?= -O2 -g
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion $(if $(CI),-Werror)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) $(CFLAGS)
ALL_LDFLAGS = -pthread $(if $(STATIC),-static) $(LDFLAGS)
BUILD ?= build
BINARY ?= sponson

# From top to bottom: a file includes only what stands to the right of it. check-layers holds this order.
LAYERS = server worker command client shard lru heap resp config host metrics buf log glob hash slice
SOURCES = server.c worker.c command.c client.c shard.c lru.c heap.c resp.c config.c host.c metrics.c buf.c log.c
OBJECTS = $(SOURCES:%.c=$(BUILD)/%.o)

all: $(BINARY)

$(BINARY): $(OBJECTS)
	$(CC) $(ALL_LDFLAGS) -o $@ $(OBJECTS)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(BUILD)
	$(CC) $(ALL_CFLAGS) -MMD -c -o $@ $<

-include $(OBJECTS:.o=.d)

clean:
	rm -rf build $(BINARY)

.PHONY: all clean
