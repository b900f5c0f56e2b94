/* check.h -- every invariant of index, list, wheel and heap, asserted: of a shard, and of its heap alone.
 *
 * check_lru.c and check_heap.c contain lru.c and heap.c, so a program gets each of them once: tests and fuzzers link
 * these before the archive of the modules, which then has nothing of theirs left to give. */
#ifndef SPONSON_CHECK_H
#define SPONSON_CHECK_H

#include "../lru.h"

void lru_check(const struct lru *l);

/* What the sample says to be stored is, and the other way round; where no two keys have one hash. */
void lru_check_sample(const struct lru *l);

/* Walks all blocks. Returns the units in used ones. */
uint32_t heap_check(const struct heap *h);

#endif
