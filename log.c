/* log.c -- one line on a descriptor: UTC time, level, text.
 *
 * Owns    nothing; a line is built on the stack.
 * True    a line holds no control character but its last byte, so a text that came from outside cannot forge
 * a line. Threads any; one write(2) a line.   Failure: a line that cannot be written is lost. errno is kept.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 1000, HEAD_MAX = 64 };

static const char *const level_names[] = {"debug", "verbose", "notice", "warning"};

/* Writes "2026-11-20T17:45:08.123Z notice " and returns its length. The calendar is computed here (Hinnant's
 * days-to-civil): gmtime_r() and strftime() bring time zones, locales and scanf, 100 KB, into the static binary. */
static size_t put_head(char *line, enum log_level level) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t days = now.tv_sec / 86400 + 719468, second = now.tv_sec % 86400; /* days since March 1st of year 0 */
    int64_t era = days / 146097, day_of_era = days % 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    int64_t year = era * 400 + year_of_era + (month >= 10);
    return (size_t)snprintf(line, HEAD_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s ", (int)year,
                            (int)(month < 10 ? month + 3 : month - 9), (int)day, (int)(second / 3600),
                            (int)(second / 60 % 60), (int)(second % 60), (int)(now.tv_nsec / 1000000),
                            level_names[level]);
}

/* Writes the text, cut where it is too long, and returns its length. */
static size_t put_text(char *text, const char *format, va_list args) {
    int wanted = vsnprintf(text, TEXT_MAX + 1, format, args);
    size_t n = wanted < 0 ? 0 : wanted > TEXT_MAX ? TEXT_MAX : (size_t)wanted;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) text[i] = '?';
    return n;
}

void log_line(const struct log *log, enum log_level level, const char *format, ...) {
    if ((int)level < log->level) return;
    int kept_errno = errno;
    char line[HEAD_MAX + TEXT_MAX + 1];
    size_t n = put_head(line, level);
    va_list args;
    va_start(args, format);
    n += put_text(line + n, format, args);
    va_end(args);
    line[n++] = '\n';
    ssize_t written = write(log->fd, line, n);
    (void)written; /* there is nowhere to complain to */
    errno = kept_errno;
}
