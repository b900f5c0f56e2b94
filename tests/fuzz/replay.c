/* replay.c -- runs a fuzzer's inputs once, without libFuzzer: TAP, one test for all of them.
 *
 *   replay_NAME [FILE...]      without files: all of tests/fuzz/corpus/NAME
 *
 * An input that breaks something ends the process; its name is the last line on stderr. */
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include "fuzz.h"

static char path[4096];

static void say_path(int number) {
    ssize_t n = write(2, path, strlen(path)) + write(2, "\n", 1);
    (void)n;
    signal(number, SIG_DFL);
    raise(number);
}

static int replay(void) {
    FILE *file = fopen(path, "rb");
    MUST(file && fseek(file, 0, SEEK_END) == 0);
    size_t size = (size_t)ftell(file);
    uint8_t *data = malloc(size);
    rewind(file);
    MUST(fread(data, 1, size, file) == size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

int main(int argc, char **argv) {
    const char *name = strstr(argv[0], "replay_");
    char folder[256];
    int n = 0;
    MUST(name);
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name + strlen("replay_"));
    signal(SIGABRT, say_path);
    signal(SIGSEGV, say_path);
    printf("1..1\n");
    for (int i = 1; i < argc; i++, n++) {
        snprintf(path, sizeof path, "%s", argv[i]);
        replay();
    }
    DIR *d = argc == 1 ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.') n += replay();
    }
    if (d) closedir(d);
    printf("%s 1 - %d inputs of fuzz_%s break nothing\n", n ? "ok" : "not ok", n, name + strlen("replay_"));
    return n == 0;
}
