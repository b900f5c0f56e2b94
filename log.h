/* log.h -- lines on stderr: time, level, text; as text or as an object of JSON. host.c writes them.
 *
 * What notice and warning say again and again is limited, so that no client fills a disk: of the lines of one call (one
 * format) LOG_LINES_MAX warnings or LOG_NOTICES_MAX notices are written in LOG_WINDOW_S seconds; then comes how many were left out. verbose and debug are not. */
#ifndef SPONSON_LOG_H
#define SPONSON_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_VERBOSE, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum { LOG_LINES_MAX = 10, LOG_NOTICES_MAX = 100, LOG_WINDOW_S = 10, LOG_SITES = 32 };

struct log {
    int fd;             /* where lines go; 2 in the server */
    _Atomic int level;  /* enum log_level: less important lines are not written */
    _Atomic int format; /* enum log_format */
    pthread_mutex_t lock;
    struct log_site {
        const char *format; /* NULL: free, and all behind it; the last one is shared by those that came too late */
        enum log_level level;
        time_t since;   /* when its window began */
        uint64_t lines; /* since then */
    } site[LOG_SITES];  /* under the lock */
};

/* Writes one line with a single write(2), so lines of several threads never mix; one for which there is no room (a pipe that
 * nobody reads) is lost. A text over 1000 bytes is cut; what is
 * no printable character of UTF-8 becomes '?'. `format` has to be a literal: it says which lines are alike. */
void log_line(struct log *log, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Writes each line of `lines`, with `before` before it, and leaves none out. */
void log_lines(struct log *log, enum log_level level, const char *before, const char *lines);

/* Says how many lines were left out in windows that are over, or in all: log_line() does so, too. */
void log_repeats(struct log *log, bool all);

#endif
