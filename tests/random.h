/* random.h -- the unit tests' numbers: the same ones in every run, from a state that a test may set. */
#ifndef SPONSON_RANDOM_H
#define SPONSON_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 1;

static inline uint64_t rnd(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545F4914F6CDD1Dull;
}

static inline uint32_t below(uint32_t n) { return (uint32_t)(rnd() >> 33) % n; }

#endif
