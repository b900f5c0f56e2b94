/* heap.h -- the bytes of one shard's arena: allocate, free, and where blocks lie.
 *
 * Sizes and places are counted in units of 8 bytes; a place is called a ref, and 0 is none. A block belongs to its
 * owner but for one bit in each of its first two 32-bit words, bit 31 (HEAP_BIT), which are the heap's: an owner
 * writes the first word with that bit clear, and keeps the bit when it writes the second. */
#ifndef SPONSON_HEAP_H
#define SPONSON_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_UNIT 8u
#define HEAP_BIT 0x80000000u
#define HEAP_BLOCK_MIN 2u           /* units: the least block that can be asked for */
#define HEAP_PAGE_UNITS 512u        /* units in a page of 4096 bytes */
#define HEAP_REF_MAX (HEAP_BIT - 1) /* so a heap spans 16 GiB at most */
#define HEAP_BINS 264
#define HEAP_WORDS ((HEAP_BINS + 63) / 64)

struct heap {
    /* set once */
    char *base;                                 /* page aligned; never moves */
    uint32_t *bin;                              /* first free block of each size class, 0: none */
    uint16_t *first;                            /* per page: unit of the first block that starts in it, or none */
    uint32_t (*block_units)(const void *block); /* size of a block that its owner holds */

    uint32_t limit; /* top never passes it; in units */
    uint32_t top;   /* all blocks lie below; the block before it is never free */
    uint32_t high;  /* page-aligned: nothing at or above it was touched; the owner gives pages below it back */
    uint32_t used;  /* units in blocks that an owner holds */
    uint64_t nonempty[HEAP_WORDS];
};

/* Bytes of memory that heap_init() wants for `bin` and `first`, for a heap of `units` units: a thousand, and two a
 * page. */
size_t heap_map_bytes(uint32_t units);

/* An empty heap over zeroed or unread memory at `base` (page aligned, `limit` units or more of address space). `map`
 * holds heap_map_bytes(), zeroed, and stays the caller's, as the memory does. */
void heap_init(struct heap *h, char *base, void *map, uint32_t limit, uint32_t (*block_units)(const void *));

static inline void *heap_at(const struct heap *h, uint32_t ref) { return h->base + (size_t)ref * HEAP_UNIT; }

/* A block of `units` (HEAP_BLOCK_MIN or more), its two first words zero, or 0 when no free place is that large. */
uint32_t heap_alloc(struct heap *h, uint32_t units);

/* Gives back a block of that size; it is joined with free neighbours. */
void heap_free(struct heap *h, uint32_t ref, uint32_t units);

/* Moves the used block behind the free block at `hole` into its place; the free units are behind it now, joined with
 * what is free there. The owner's bytes are moved, and it must mend what refers to them: the block was at
 * hole + heap_size(hole). Returns where the free block is now, 0 when it has become part of what lies above top. */
uint32_t heap_slide(struct heap *h, uint32_t hole);

/* The largest free block's ref, 0 when there is none below top. (Of the highest class that has one: within 1/8.) */
uint32_t heap_largest(const struct heap *h);

/* The first block that ends beyond `unit` (which is below top): the one that contains it. Never 0. */
uint32_t heap_block_at(const struct heap *h, uint32_t unit);

/* Whether the block at `ref` is free, and the size of either kind, in units. */
bool heap_is_free(const struct heap *h, uint32_t ref);
uint32_t heap_size(const struct heap *h, uint32_t ref);

/* Forgets all blocks at once, in constant time: a page's part of the map is cleared when the page is used again. */
void heap_clear(struct heap *h);

#endif
