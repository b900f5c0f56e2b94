/* log.h -- lines on stderr: time, level, text. */
#ifndef SPONSON_LOG_H
#define SPONSON_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_VERBOSE, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING };

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log {
    int fd;            /* where lines go; 2 in the server */
    _Atomic int level; /* enum log_level: less important lines are not written */
};

/* Writes one line with a single write(2), so lines of several threads never mix. A text over 1000 bytes is cut. */
void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
