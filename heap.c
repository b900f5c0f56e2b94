/* heap.c -- the bytes of one shard's arena: boundary tags and segregated free lists, in units of 8 bytes.
 *
 * Owns    the places of all blocks, free and used. It never asks for memory: address space is given to it once.
 *
 *   used    | 0|owner's 31 bits | L|owner's 31 bits | owner's bytes ...                    |
 *   free    | 1|size            | list: previous    | list: next  | ...          | size    |   2 units or more
 *   splinter| 1|1               | 1                 |                                         1 unit, on no list
 *
 *     L: the block to the left is free; its size then stands in the word before this block.
 *
 *   unit 0 |reserved| block | block | ... | top, never used yet ... | limit
 *
 * True    whenever a function returns (heap_check() of tests/check_heap.c asserts it):
 *           from unit 1 to top, blocks lie without a gap; no two free ones side by side; the last is used
 *           L is set if and only if the left neighbour is free
 *           every free block of 2 units or more is on the list of its size class, and nonempty[] tells which have any
 *           first[page] is the first unit of the page in which a block starts, FIRST_NONE when none does
 *
 * The map of first blocks is what lets the owner clear a given range (make room at the end for the index, or beside
 * a hole for a large value): used blocks carry no footer, so nothing else leads to a block from the right.
 *
 * Threads none; the caller holds the shard's lock.   Failure: no room returns 0, and nothing changes. */
#include "heap.h"

#include <assert.h>
#include <string.h>

#define FIRST_NONE 0xFFFFu
#define EXACT_UNITS 64u /* below it each size has a class of its own; above, eight classes an octave */
#define FIT_TRIES 8     /* blocks of the wanted size's own class that are looked at before a larger class is taken */

static_assert(HEAP_PAGE_UNITS * HEAP_UNIT == 4096, "a page is 4096 bytes");

struct free_block {
    uint32_t head; /* HEAP_BIT | size */
    uint32_t prev;
    uint32_t next;
    /* ... and in the last word of the block: size */
};

static uint32_t *word(const struct heap *h, uint32_t ref) { return heap_at(h, ref); }

static struct free_block *free_at(const struct heap *h, uint32_t ref) { return heap_at(h, ref); }

/* The word just before `ref`: the footer of the block to the left, when that is free. */
static uint32_t *footer_before(const struct heap *h, uint32_t ref) { return word(h, ref) - 1; }

static uint32_t class_of(uint32_t units) {
    if (units < EXACT_UNITS) return units;
    uint32_t octave = 31 - (uint32_t)__builtin_clz(units);
    return EXACT_UNITS + (octave - 6) * 8 + ((units >> (octave - 3)) & 7);
}

/* ---- the map of first blocks ---- */

static void starts(struct heap *h, uint32_t ref) {
    uint16_t unit = (uint16_t)(ref % HEAP_PAGE_UNITS), *first = &h->first[ref / HEAP_PAGE_UNITS];
    if (unit < *first) *first = unit;
}

/* No block starts at `ref` any more; the next one that does is at `next`, or there is none from `next` (top) on. */
static void starts_not(struct heap *h, uint32_t ref, uint32_t next) {
    uint32_t page = ref / HEAP_PAGE_UNITS;
    if (h->first[page] != ref % HEAP_PAGE_UNITS) return;
    bool same = next / HEAP_PAGE_UNITS == page && next < h->top;
    h->first[page] = same ? (uint16_t)(next % HEAP_PAGE_UNITS) : (uint16_t)FIRST_NONE;
}

/* ---- free lists ---- */

/* Takes a free block off its list and returns its size. */
static uint32_t list_remove(struct heap *h, uint32_t ref) {
    struct free_block *f = free_at(h, ref);
    uint32_t units = f->head & ~HEAP_BIT, size_class = class_of(units);
    if (units < HEAP_BLOCK_MIN) return units;
    if (f->next) free_at(h, f->next)->prev = f->prev;
    if (f->prev)
        free_at(h, f->prev)->next = f->next;
    else if ((h->bin[size_class] = f->next) == 0)
        h->nonempty[size_class / 64] &= ~(1ull << (size_class % 64));
    return units;
}

/* Writes a free block's tags and lists it. The block to its right is used. */
static void mark_free(struct heap *h, uint32_t ref, uint32_t units) {
    struct free_block *f = free_at(h, ref);
    f->head = HEAP_BIT | units;
    if (units >= HEAP_BLOCK_MIN) {
        uint32_t size_class = class_of(units), next = h->bin[size_class];
        f->prev = 0;
        f->next = next;
        if (next) free_at(h, next)->prev = ref;
        h->bin[size_class] = ref;
        h->nonempty[size_class / 64] |= 1ull << (size_class % 64);
    }
    *footer_before(h, ref + units) = units; /* after the links: a splinter has no room for them */
    word(h, ref + units)[1] |= HEAP_BIT;
}

/* ---- the calls ---- */

size_t heap_map_bytes(uint32_t units) {
    return HEAP_BINS * sizeof(uint32_t) + ((size_t)units / HEAP_PAGE_UNITS + 1) * sizeof(uint16_t);
}

void heap_init(struct heap *h, char *base, void *map, uint32_t limit, uint32_t (*block_units)(const void *)) {
    assert(limit > HEAP_BLOCK_MIN && limit <= HEAP_REF_MAX);
    *h = (struct heap){.base = base, .bin = map, .block_units = block_units, .limit = limit};
    h->first = (uint16_t *)(h->bin + HEAP_BINS);
    heap_clear(h);
}

/* Among the first blocks of the wanted size's own class one that is large enough, or the first of the lowest class
 * above that has a free block; 0 when none has. */
static uint32_t find_free(const struct heap *h, uint32_t units) {
    uint32_t size_class = class_of(units), above = size_class + 1;
    int tries = 0;
    for (uint32_t ref = h->bin[size_class]; ref && tries < FIT_TRIES; ref = free_at(h, ref)->next, tries++)
        if ((free_at(h, ref)->head & ~HEAP_BIT) >= units) return ref;
    uint64_t mask = ~0ull << (above % 64);
    for (uint32_t i = above / 64; i < HEAP_WORDS; i++, mask = ~0ull)
        if (h->nonempty[i] & mask) return h->bin[i * 64 + (uint32_t)__builtin_ctzll(h->nonempty[i] & mask)];
    return 0;
}

static uint32_t take_from_top(struct heap *h, uint32_t units) {
    uint32_t ref = h->top;
    if (ref + units > h->limit) return 0; /* both are below 2^31 */
    uint32_t last = (ref + units - 1) / HEAP_PAGE_UNITS;
    for (uint32_t page = (ref - 1) / HEAP_PAGE_UNITS + 1; page <= last; page++)
        h->first[page] = FIRST_NONE;
    h->top = ref + units;
    if (h->top > h->high) h->high = (last + 1) * HEAP_PAGE_UNITS;
    starts(h, ref);
    return ref;
}

uint32_t heap_alloc(struct heap *h, uint32_t units) {
    assert(units >= HEAP_BLOCK_MIN);
    uint32_t ref = find_free(h, units), size = ref ? list_remove(h, ref) : 0;
    if (ref == 0) ref = take_from_top(h, units);
    if (ref == 0) return 0;
    if (size) word(h, ref + size)[1] &= ~HEAP_BIT;
    if (size > units) {
        starts(h, ref + units);
        mark_free(h, ref + units, size - units);
    }
    h->used += units;
    memset(word(h, ref), 0, HEAP_UNIT); /* the left neighbour of a free block, and of top, is used */
    return ref;
}

void heap_free(struct heap *h, uint32_t ref, uint32_t units) {
    h->used -= units;
    uint32_t end = ref + units;
    if (end < h->top && heap_is_free(h, end)) {
        uint32_t behind = end + list_remove(h, end);
        starts_not(h, end, behind);
        end = behind;
    }
    if (word(h, ref)[1] & HEAP_BIT) {
        starts_not(h, ref, end);
        ref -= *footer_before(h, ref);
        list_remove(h, ref);
    }
    if (end < h->top) {
        mark_free(h, ref, end - ref);
        return;
    }
    starts_not(h, ref, end);
    h->top = ref;
}

uint32_t heap_slide(struct heap *h, uint32_t hole) {
    uint32_t room = list_remove(h, hole), from = hole + room, size = heap_size(h, from), to = hole + size;
    starts_not(h, from, from + size);
    memmove(word(h, hole), word(h, from), (size_t)size * HEAP_UNIT);
    word(h, hole)[1] &= ~HEAP_BIT; /* the left neighbour of a free block is used, */
    word(h, to)[1] = 0;            /* and so is that of what is given back now: of the block that was moved */
    starts(h, to);
    h->used += room;
    heap_free(h, to, room);
    return to < h->top ? to : 0;
}

uint32_t heap_largest(const struct heap *h) {
    for (int i = HEAP_WORDS - 1; i >= 0; i--)
        if (h->nonempty[i]) return h->bin[i * 64 + 63 - __builtin_clzll(h->nonempty[i])];
    return 0;
}

bool heap_is_free(const struct heap *h, uint32_t ref) { return word(h, ref)[0] & HEAP_BIT; }

uint32_t heap_size(const struct heap *h, uint32_t ref) {
    return heap_is_free(h, ref) ? word(h, ref)[0] & ~HEAP_BIT : h->block_units(heap_at(h, ref));
}

uint32_t heap_block_at(const struct heap *h, uint32_t unit) {
    assert(unit >= 1 && unit < h->top);
    uint32_t page = unit / HEAP_PAGE_UNITS;
    while (h->first[page] == FIRST_NONE || page * HEAP_PAGE_UNITS + h->first[page] > unit)
        page--; /* unit 1 starts a block: this ends at page 0 */
    uint32_t ref = page * HEAP_PAGE_UNITS + h->first[page];
    for (uint32_t size; ref + (size = heap_size(h, ref)) <= unit;)
        ref += size;
    return ref;
}

void heap_clear(struct heap *h) {
    h->top = 1;
    h->used = 0;
    memset(h->nonempty, 0, sizeof h->nonempty);
    memset(h->bin, 0, HEAP_BINS * sizeof *h->bin);
    h->first[0] = FIRST_NONE;
}
