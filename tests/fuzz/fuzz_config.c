/* fuzz_config.c -- the configuration: file, environment and flags, then CONFIG SET. Whatever they say, it is taken or
 * refused, with one sentence.
 *
 *   input   | the machine | the file 0xFF variables, a line each 0xFF flags, a line each 0xFF "name value" lines
 *
 * What is checked: an error is one printable line that names the option, and shows no password; a configuration that
 * was taken is within its bounds, so that each value, as CONFIG GET shows it, is taken again and gives the same. */
#include "fuzz.h"

#include <ctype.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../config.h"
#include "../../host.h"

enum { WORDS_MAX = 32 };

static int file = -1; /* what is written there can be read by its path */
static char path[64] = "/proc/self/fd/";

#define MARK "s3cr3t" /* the dictionary has it: as a password it must not be shown */

static void must_be_sentence(char *error, size_t size) {
    size_t n = strnlen(error, size);
    MUST(n > 0 && n < size);
    char *next = strchr(error, '\n'); /* a file may have several that are wrong */
    if (next) {
        *next++ = '\0';
        must_be_sentence(next, size - (size_t)(next - error));
        n = strlen(error);
    }
    for (size_t i = 0; i < n; i++)
        MUST(!iscntrl((unsigned char)error[i]));
    bool named = strstr(error, "unknown ") || strstr(error, "quotes are not balanced") || strstr(error, "NUL bytes") ||
                 strstr(error, "this cache does not do that") || strstr(error, "are not allowed") ||
                 strstr(error, "cannot take a password from");
    for (int i = 0; config_name(i) && !named; i++) {
        const char *found = strstr(error, config_name(i));
        named = found && found[strlen(config_name(i))] == ':' && (strstr(found, "; give ") || strstr(found, "quotes"));
    }
    MUST(named);
    const char *sentence = error; /* behind the place, as "redis.conf line 3: " */
    if (strncmp(error, path, strlen(path)) == 0 || strncmp(error, "SPONSON_", 8) == 0)
        sentence = strstr(error, ": ") ? strstr(error, ": ") + 2 : error;
    MUST(strncmp(sentence, "requirepass:", 12) != 0 || !strstr(sentence, MARK));
}

/* All values are what the options allow. */
static void must_be_right(const struct config *c) {
    static struct config again;
    char text[CONFIG_TEXT_MAX + 64], same[CONFIG_TEXT_MAX + 64], error[512];
    config_init(&again);
    for (int i = 0; config_name(i); i++) {
        size_t n = config_value(c, i, false, text, sizeof text);
        MUST(n == strlen(text) && n < sizeof text - 1);
        if (strcmp(config_name(i), "requirepass") == 0) {
            MUST(!strstr(text, MARK));
            continue;
        }
        if (strcmp(config_name(i), "requirepass-file") == 0 || strlen(text) > 8000) continue;
        char flag[CONFIG_TEXT_MAX + 8192];
        snprintf(flag, sizeof flag, "--%s=%s", config_name(i), text);
        MUST(config_load(&again, 2, (char *[]){"sponson", flag, NULL}, (char *[]){NULL}, false, error, sizeof error) ==
             CONFIG_OK);
        config_value(&again, i, false, same, sizeof same);
        MUST(strcmp(text, same) == 0);
    }
    MUST(strnlen(c->notes, sizeof c->notes) < sizeof c->notes &&
         strnlen(c->requirepass, CONFIG_TEXT_MAX) < CONFIG_TEXT_MAX);
    size_t n = strlen(c->notes);
    MUST(n == 0 || c->notes[n - 1] == '\n');
}

/* What was worked out keeps the limits that the rest of the server relies on. */
static void must_be_resolved(const struct config *c) {
    must_be_right(c);
    MUST(c->port >= 0 && c->port <= 65535 && (c->port || *c->unixsocket) && c->threads >= 1 && c->databases >= 1);
    MUST(c->databases <= DATABASES_MAX && c->maxclients >= 1 && c->maxclients <= MAXCLIENTS_MAX);
    MUST(c->maxmemory_bytes >= MAXMEMORY_MIN && c->maxmemory_bytes <= MAXMEMORY_MAX);
    MUST(c->max_key_size_bytes >= 1 && c->max_key_size_bytes <= KEY_SIZE_MAX);
    MUST(c->max_value_size_bytes >= 1 && c->max_value_size_bytes <= c->maxmemory_bytes / SHARDS / 2);
    MUST(c->shard_capacity >= 1 && c->shard_capacity <= INT32_MAX);
    MUST(c->client_output_bytes >= 1 && c->client_output_bytes <= c->client_memory_bytes);
}

/* The next section of the input. */
static struct bytes section(struct bytes *b) {
    const char *end = b->n ? memchr(b->p, 0xFF, b->n) : NULL;
    struct bytes s = bytes_take(b, end ? (size_t)(end - b->p) : b->n);
    bytes_one(b);
    return s;
}

/* The same as a text, to be freed; it ends at a NUL. */
static char *section_text(struct bytes *b) {
    struct bytes s = section(b);
    char *text = malloc(s.n + 1);
    MUST(text);
    if (s.n) memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return text;
}

/* Its lines, NULL behind the last one. Returns how many. */
static int lines_of(char *text, char **lines, int most) {
    int n = 0;
    for (char *rest = text, *line; n < most - 1 && (line = strsep(&rest, "\n")) != NULL;)
        lines[n++] = line;
    lines[n] = NULL;
    return n;
}

/* Sets one option in a copy, as CONFIG SET does, and takes it over when it is right. */
static void change(struct config *running, const struct host *host, char *line) {
    static struct config next;
    char error[512] = "", *value = strchr(line, ' ');
    if (value) *value++ = '\0';
    next = *running;
    next.notes[0] = '\0';
    enum config_change result = config_change(&next, line, value, error, sizeof error);
    if (result == CONFIG_INVALID) must_be_sentence(error, sizeof error);
    if (result != CONFIG_CHANGED || value == NULL) return;
    config_follow(&next, running, false, false);
    if (!config_resolve(&next, host, error, sizeof error)) {
        must_be_sentence(error, sizeof error);
        return;
    }
    char text[CONFIG_ERROR_MAX];
    config_compare(running, &next, text, sizeof text);
    MUST(strlen(text) > 0);
    config_apply(running, &next);
    config_compare(running, &next, text, sizeof text);
    MUST(strncmp(text, "nothing changed", 15) == 0);
    must_be_resolved(running);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint64_t memory[] = {0, 1 << 20, 64 << 20, 16ull << 30};
    static struct config config;
    struct bytes input = {(const char *)data, size};
    uint8_t machine = bytes_one(&input);
    struct host host = {memory[machine & 3], memory[machine >> 2 & 3], 1 + (machine >> 4 & 3), machine >> 6};
    struct bytes text = section(&input);
    char *variables = section_text(&input), *flags = section_text(&input), *changes = section_text(&input);
    char *argv[WORDS_MAX] = {"sponson", path}, *environment[WORDS_MAX], *lines[WORDS_MAX], error[CONFIG_ERROR_MAX] = "";

    if (file < 0) {
        file = memfd_create("sponson.conf", 0);
        MUST(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    MUST(ftruncate(file, 0) == 0 && pwrite(file, text.p, text.n, 0) == (ssize_t)text.n);
    lines_of(variables, environment, WORDS_MAX);
    int argc = 2 + (*flags ? lines_of(flags, argv + 2, WORDS_MAX - 2) : 0);
    bool prints = false;
    for (int i = 2; i < argc; i++)
        prints |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0;

    config_init(&config);
    enum config_result result =
        prints ? CONFIG_EXIT : config_load(&config, argc, argv, environment, false, error, sizeof error);
    if (result == CONFIG_BAD) must_be_sentence(error, sizeof error);
    if (result == CONFIG_OK) {
        must_be_right(&config);
        if (config_resolve(&config, &host, error, sizeof error)) {
            must_be_resolved(&config);
            int n = lines_of(changes, lines, WORDS_MAX);
            for (int i = 0; i < n; i++)
                change(&config, &host, lines[i]);
        } else {
            must_be_sentence(error, sizeof error);
        }
    }
    free(variables);
    free(flags);
    free(changes);
    return 0;
}
