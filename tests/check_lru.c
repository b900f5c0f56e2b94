/* check_lru.c -- lru.c with lru_check(), which sees what nobody else does: linked in place of it by tests. */
#include "../lru.c"

#include "check.h"

static uint32_t check_index(const struct lru *l) {
    uint32_t entries = 0, overflow = 1; /* bucket 0 of those is none */
    for (uint32_t i = 0; i < buckets(l); i++)
        for (const struct bucket *b = bucket_at(l, i);; b = &l->overflow[b->next]) {
            for (int slot = 0; slot < SLOTS; slot++) {
                if (b->tag[slot] == 0) {
                    assert(b->next == 0); /* chains are compact */
                    continue;
                }
                uint64_t hash = entry_hash(l, at(l, b->ref[slot]));
                assert(bucket_of(l, hash) == bucket_at(l, i) && hash_tag(hash) == b->tag[slot]);
                assert(find(l, hash, entry_key(at(l, b->ref[slot]))) == at(l, b->ref[slot]));
                entries++;
            }
            if (b->next == 0) break;
            assert(b->next < l->overflow_top);
            overflow++;
        }
    assert(overflow == l->overflow_top);
    return entries;
}

static uint32_t check_wheel(const struct lru *l) {
    uint32_t entries = 0;
    for (uint32_t slot = 0; slot < LRU_WHEEL_LEVELS * LRU_WHEEL_SLOTS; slot++) {
        uint32_t prev = HEAP_BIT | slot;
        assert(!!l->slot[slot] == (l->slots_used[slot / LRU_WHEEL_SLOTS] >> slot % LRU_WHEEL_SLOTS & 1));
        for (uint32_t ref = l->slot[slot]; ref; prev = ref, ref = deadline_of(at(l, ref))->next) {
            assert(entry_deadline_ms(at(l, ref)) && deadline_of(at(l, ref))->prev == prev);
            entries++;
        }
    }
    return entries;
}

void lru_check(const struct lru *l) {
    uint32_t listed = 0, young = 0, old = 0, units = 0, prev = 0, boundary = 0, with_deadline = 0;
    struct lru_database database[DATABASE_IDS] = {{0}};
    for (uint32_t ref = l->head; ref; prev = ref, ref = next_of(at(l, ref))) {
        const struct entry *e = at(l, ref);
        assert(e->prev == prev);
        if (e->meta & META_YOUNG) {
            assert(young == listed);
            young++;
            boundary = ref;
        }
        if (e->meta & META_OLD)
            assert(old++ || ref == l->old_first);
        else
            assert(old == 0);
        listed++;
        units += entry_units(e);
        database[entry_database(e)].entries++;
        database[entry_database(e)].with_deadline += entry_deadline_ms(e) != 0;
        with_deadline += entry_deadline_ms(e) != 0;
    }
    assert(memcmp(database, l->database, sizeof database) == 0);
    assert(prev == l->tail && listed == l->count && l->count <= l->capacity && old == l->old);
    assert(young == l->young && (young == 0 || boundary == l->boundary) && young <= l->count / YOUNG_SHARE);
    assert(check_index(l) == l->count && check_wheel(l) == with_deadline);
    assert(heap_check(&l->heap) == units);
    assert(buckets(l) <= l->buckets_cap && l->buckets_cap <= l->buckets_max);
    assert(l->overflow_top <= l->overflow_cap && l->overflow_cap <= l->overflow_max);
    assert(index_bytes(l) + (uint64_t)l->heap.top * HEAP_UNIT <= l->budget_bytes);
}

void lru_check_sample(const struct lru *l) {
    uint32_t entries = 0, slots = 0;
    for (uint32_t ref = l->head; ref; ref = next_of(at(l, ref))) {
        uint64_t hash = entry_hash(l, at(l, ref));
        const struct sample_slot *s = sample_has(&l->sample, hash) ? sample_slot(&l->sample, hash, false) : NULL;
        assert(s == NULL || (s->tag & 3) == SAMPLE_LIVE);
        entries += s != NULL;
    }
    for (uint32_t i = 0; i < SAMPLE_SLOTS; i++)
        slots += (l->sample.slots[i].tag & 3) == SAMPLE_LIVE && !(l->sample.slots[i].tag & l->sample.outside);
    assert(slots == entries);
}
