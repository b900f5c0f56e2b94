/* generate.c -- writes the man page and the commented configuration from the option and the command table:
 *
 *   generate man  > docs/sponson.1
 *   generate conf > conf/sponson.conf
 *
 * make docs does both; make check-docs, a part of make test, fails when what is kept is not what the tables say. */
#include "../command.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../options.h"

#define WRITTEN "2026-11-30" /* when the text below was; its parts from the tables follow the version */

enum { OPTIONS = sizeof options / sizeof *options, NUMBER_SIZE = 24, TEXT_SIZE = 2048 };

/* ---- what a row says ---- */

/* A bound as the option takes it: bytes in the largest unit that leaves no rest, mode bits in octal. */
static const char *bound(enum kind kind, int64_t n, char text[NUMBER_SIZE]) {
    static const char *const units[] = {"", "kb", "mb", "gb", "tb"};
    int unit = 0;
    for (; (kind == BYTES || kind == OUTPUT) && n > 0 && n % 1024 == 0 && unit < 4; unit++)
        n /= 1024;
    snprintf(text, NUMBER_SIZE, kind == MODE ? "%" PRIo64 "%s" : "%" PRId64 "%s", n, units[unit]);
    return text;
}

/* "entries and their index; bytes from 8mb to 1tb, or 0 for a share of the machine's memory; default 0; ..." */
static void describe(const struct option *o, char text[TEXT_SIZE]) {
    char min[NUMBER_SIZE], max[NUMBER_SIZE];
    int n = snprintf(text, TEXT_SIZE, "%s", o->help);
    if (!kinds[o->kind].words[0]) /* where it is one of some words the help names them */
        n += snprintf(text + n, TEXT_SIZE - (size_t)n, "; %s%s to %s%s", kinds[o->kind].what,
                      bound(o->kind, o->min, min), bound(o->kind, o->max, max), kinds[o->kind].unit);
    if (o->zero)
        n += snprintf(text + n, TEXT_SIZE - (size_t)n, ", or %s for %s", o->kind == OUTPUT ? "normal 0 0 0" : "0",
                      o->zero);
    snprintf(text + n, TEXT_SIZE - (size_t)n, "; default %s%s", *o->initial ? o->initial : "none",
             o->changes == AT_ANY_TIME ? "; CONFIG SET changes it"
             : o->changes == AT_RELOAD ? "; SIGHUP reads it again"
                                       : "");
}

/* ---- text in lines ---- */

/* A word of a man page: a hyphen that is one, no escapes. */
static int roff(const char *word, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (word[i] == '-' || word[i] == '\\')
            fputs(word[i] == '-' ? "\\-" : "\\e", stdout);
        else
            putchar(word[i]);
    return (int)size;
}

static int plain(const char *word, size_t size) { return printf("%.*s", (int)size, word); }

/* Writes the text in lines of at most `width`, each with `lead` before it; in man pages a sentence ends its line. */
static void fill(const char *text, const char *lead, int width, int (*write)(const char *word, size_t size)) {
    int column = 0;
    for (bool ends = false; *text; text += strspn(text, " ")) {
        size_t n = strcspn(text, " ");
        if (column > 0 && (ends || column + (int)n + 1 > width)) column = 0, putchar('\n');
        column += printf("%s", column ? " " : lead);
        column += write(text, n);
        text += n;
        ends = text[-1] == '.' && write == roff;
    }
    putchar('\n');
}

static void man_text(const char *text) { fill(text, "", 70, roff); }

/* A paragraph below its name, in bold, with what stands behind it on its line. */
static void man_item(const char *before, const char *name, const char *behind) {
    printf(".TP\n\\fB");
    roff(before, strlen(before));
    roff(name, strlen(name));
    printf("\\fR%s", *behind ? " " : "");
    roff(behind, strlen(behind));
    putchar('\n');
}

/* ---- the man page ---- */

/* The names of all rows of that kind, as one list. */
static void man_names(enum kind kind) {
    char text[TEXT_SIZE] = "";
    for (int i = 0, n = 0; i < OPTIONS; i++)
        if (options[i].kind == kind)
            n += snprintf(text + n, TEXT_SIZE - (size_t)n, "%s%s", n ? ", " : "", options[i].name);
    strcat(text, ".");
    man_text(text);
}

static void man_options(void) {
    char text[TEXT_SIZE];
    for (int i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        if (o->kind >= FIXED) continue;
        man_item("--", o->name, kinds[o->kind].placeholder);
        describe(o, text);
        man_text(text);
    }
    puts(".SS Options of Redis\n"
         "So that the redis.conf of a cache starts,\n"
         "these are taken with the one value that is true here.");
    for (int i = 0; i < OPTIONS; i++)
        if (options[i].kind == FIXED) {
            man_item("", options[i].name, *options[i].initial ? options[i].initial : "\"\"");
            man_text(options[i].help);
        }
    puts(".PP\nThese change nothing here and are ignored, whatever they say\n(* stands for the rest of a name):");
    man_names(IGNORED);
    puts(".PP\nThese would be something else and are refused:");
    man_names(REFUSED);
}

static void man_commands(void) {
    for (uint32_t i = 0; command_name(i); i++) {
        man_item("", command_syntax(i), "");
        man_text(command_summary(i));
    }
}

static void man(void) {
    puts(".\\\" Made by docs/generate.c from options.h and commands.h: make docs.\n"
         ".TH SPONSON 1 " WRITTEN " \"sponson " SPONSON_VERSION "\" \"User Commands\"\n"
         ".SH NAME\n"
         "sponson \\- a cache server that speaks the Redis protocol\n"
         ".SH SYNOPSIS\n"
         ".nf\n"
         "\\fBsponson\\fR [\\fIFILE\\fR] [\\fB\\-\\-\\fIOPTION VALUE\\fR ...]\n"
         "\\fBsponson\\fR [\\fIthe server's own file and options\\fR] \\fB\\-\\-ping\\fR\n"
         "\\fBsponson\\fR \\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR\n"
         ".fi\n"
         ".SH DESCRIPTION\n"
         "It keeps strings under keys within a fixed amount of memory,\n"
         "forgets those that were used longest ago, and answers as Redis does:\n"
         "any client of Redis is a client of it.\n"
         "Nothing is stored on disk.\n"
         ".PP\n"
         "An option may stand in \\fIFILE\\fR, in the syntax of redis.conf\n"
         "(name, value), in the environment (SPONSON_MAXMEMORY=256mb, with _ for \\-)\n"
         "or be a flag.\n"
         "Flags win over the environment, that over the file.\n"
         "A variable SPONSON_... that names no option, or holds an address as\n"
         "Kubernetes sets it, is ignored with a warning; an unknown line or flag\n"
         "is an error.\n"
         "Of sizes, 1k is 1000 bytes and 1kb 1024; so are m and mb, g and gb,\n"
         "t and tb.\n"
         ".PP\n"
         "It stays in the foreground and logs to stderr.\n"
         ".SH OPTIONS\n"
         ".TP\n\\fB\\-\\-help\\fR\nPrints every option with its default.\n"
         ".TP\n\\fB\\-\\-version\\fR\nPrints the version.\n"
         ".TP\n\\fB\\-\\-ping\\fR\n"
         "Asks a running server that was started with the same file and flags\n"
         "whether it answers: see EXIT STATUS.");
    man_options();
    puts(".SH COMMANDS\n"
         "As the documentation of Redis has them for version " SPONSON_REDIS_VERSION ".");
    man_commands();
    puts(".SH SIGNALS\n"
         ".TP\n\\fBSIGTERM\\fR, \\fBSIGINT\\fR\n"
         "An orderly end: what has arrived is answered, for as long as\n"
         "shutdown\\-timeout allows.\n"
         "A second one ends it at once.\n"
         ".TP\n\\fBSIGHUP\\fR\n"
         "The file is read again, with environment and flags: what may change\n"
         "does, also back from what CONFIG SET made of it, and the log names\n"
         "what needs a restart.\n"
         ".SH ENVIRONMENT\n"
         ".TP\n\\fBSPONSON_\\fIOPTION\\fR\n"
         "Any option, in upper case, with _ for \\-.\n"
         ".TP\n\\fBNOTIFY_SOCKET\\fR\n"
         "The service manager is told when the server is ready, reads its file\n"
         "again, and stops.\n"
         ".SH HTTP\n"
         "On \\fB\\-\\-admin\\-port\\fR, to be read only:\n"
         ".TP\n\\fB/metrics\\fR\nFor Prometheus; each figure says what it is.\n"
         ".TP\n\\fB/healthz\\fR\n200: the process lives.\n"
         ".TP\n\\fB/readyz\\fR\n200: it serves; 503: it was told to end.\n"
         ".SH SECURITY\n"
         "It listens on loopback unless bind says otherwise, and without a\n"
         "password serves only its own machine, by loopback and unix socket\n"
         "(protected\\-mode; the container image sets it to no).\n"
         ".PP\n"
         "A password that is given as a flag shows in ps, and one in the\n"
         "configuration to all who may read that: requirepass\\-file names a file\n"
         "that only the server can read.\n"
         "Who has the password may do everything, also CONFIG SET and SHUTDOWN.\n"
         "There are no users and there is no TLS: put stunnel or HAProxy before a\n"
         "unix socket.\n"
         ".PP\n"
         "The admin endpoint has neither password nor encryption.\n"
         "No key or value is in it, but who reaches it can read all figures:\n"
         "open admin\\-bind to the monitoring alone.\n"
         ".SH EXIT STATUS\n"
         ".TP\n\\fB0\\fR\nThe server was told to end; or it answered \\fB\\-\\-ping\\fR within\n2 seconds.\n"
         ".TP\n\\fB1\\fR\nIt could not start, or did not answer: stderr says why; or a second signal\nended it at once.\n"
         ".SH FILES\n"
         ".TP\n\\fIsponson.conf\\fR\n"
         "What the service that comes with it reads, in /etc/sponson, or in\n"
         "etc/sponson below the directory that it was installed to:\n"
         "every option stands in it as a comment.\n"
         ".SH EXAMPLES\n"
         ".nf\n"
         "sponson \\-\\-maxmemory 256mb\n"
         "sponson /etc/sponson/sponson.conf \\-\\-port 7172\n"
         "sponson \\-\\-unixsocket /run/sponson/s.sock \\-\\-unixsocketperm 770 \\-\\-port 0\n"
         ".fi\n"
         ".SH SEE ALSO\n"
         ".BR redis\\-cli (1),\n"
         ".BR systemd.service (5)");
}

/* ---- the commented configuration ---- */

static void conf(void) {
    char text[TEXT_SIZE];
    puts("# sponson.conf -- every option with its default; made by docs/generate.c from options.h: make docs.\n"
         "#\n"
         "# Take the # away from a line to set it. A variable SPONSON_NAME=value wins over this file, a flag --name "
         "value\n"
         "# over both. Sizes: 100, 1k (1000), 1kb (1024), 64mb, 2gb. On SIGHUP it is read again, and what CONFIG SET\n"
         "# changes is changed; the rest takes a restart, and the log says so.");
    for (int i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        if (o->kind >= FIXED) continue;
        describe(o, text);
        putchar('\n');
        fill(text, "# ", 110, plain);
        printf("#%s %s\n", o->name, *o->initial ? o->initial : o->min > 0 ? "/path/to/file" : "\"\"");
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "man") == 0)
        man();
    else if (argc == 2 && strcmp(argv[1], "conf") == 0)
        conf();
    else
        return fputs("usage: generate man | conf\n", stderr), 2;
    return ferror(stdout) || fflush(stdout) != 0;
}
