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
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 1000, HEAD_MAX = 64 };

static const char *const level_names[] = {"debug", "verbose", "notice", "warning"};

/* Writes "2026-11-20T17:45:08.123Z notice " and returns its length. */
static size_t put_head(char *line, enum log_level level) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, HEAD_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, HEAD_MAX - n, ".%03dZ %s ", (int)(now.tv_nsec / 1000000),
                          level_names[level]);
    return n;
}

/* Writes the text, cut where it is too long, and returns its length. */
static size_t put_text(char *text, const char *format, va_list args) {
    int wanted = vsnprintf(text, TEXT_MAX + 1, format, args);
    size_t n = wanted < 0 ? 0 : wanted > TEXT_MAX ? TEXT_MAX : (size_t)wanted;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    return n;
}

void log_line(const struct log *log, enum log_level level, const char *format, ...) {
    if (level < log->level)
        return;
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
