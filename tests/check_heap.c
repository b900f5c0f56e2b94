/* check_heap.c -- heap.c with heap_check(), which sees what nobody else does: linked in place of it by tests. */
#include "../heap.c"

#include "check.h"

uint32_t heap_check(const struct heap *h) {
    uint32_t used = 0, listed = 0, on_lists = 0;
    bool left_free = false;
    assert(h->top >= 1 && h->top <= h->limit && h->top <= h->high + 1);
    for (uint32_t ref = 1; ref < h->top;) {
        bool is_free = heap_is_free(h, ref);
        uint32_t size = heap_size(h, ref);
        assert(size >= 1 && size <= h->top - ref);
        assert(!(is_free && left_free));
        if (!is_free) {
            assert(size >= HEAP_BLOCK_MIN);
            assert(!!(word(h, ref)[1] & HEAP_BIT) == left_free);
            used += size;
        } else {
            assert(*footer_before(h, ref + size) == size && ref + size < h->top);
            listed += size >= HEAP_BLOCK_MIN;
        }
        assert(h->first[ref / HEAP_PAGE_UNITS] <= ref % HEAP_PAGE_UNITS);
        assert(heap_block_at(h, ref) == ref && heap_block_at(h, ref + size - 1) == ref);
        left_free = is_free;
        ref += size;
    }
    assert(!left_free);
    for (uint32_t size_class = 0; size_class < HEAP_BINS; size_class++) {
        assert(!!(h->nonempty[size_class / 64] >> (size_class % 64) & 1) == !!h->bin[size_class]);
        for (uint32_t ref = h->bin[size_class], prev = 0; ref; prev = ref, ref = free_at(h, ref)->next) {
            assert(heap_is_free(h, ref) && class_of(heap_size(h, ref)) == size_class);
            assert(free_at(h, ref)->prev == prev);
            on_lists++;
        }
    }
    assert(used == h->used && listed == on_lists);
    return used;
}
