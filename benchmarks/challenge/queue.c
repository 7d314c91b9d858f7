#define _GNU_SOURCE
#include "queue.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A consumer that found nothing waits so many moments: each time it asks, the producer's next store
 * to `head` has to fetch the line back from it. */
enum { SPINS_MAX = 1024, PATIENCE = 16 };

static void *queue_create(uint32_t capacity) {
    queue *q = aligned_alloc(CACHE_LINE, sizeof *q);
    if (!q)
        return NULL;
    memset(q, 0, sizeof *q);
    q->size = HOT_ROWS;
    while (q->size < (uint64_t)capacity + ROOM_MOST)
        q->size *= 2;
    q->holes[0] = q->holes[1] = UINT64_MAX;
    size_t bytes = q->size * sizeof *q->rows;
    q->rows = aligned_alloc(2 << 20, bytes);
    if (!q->rows) {
        free(q);
        return NULL;
    }
    madvise(q->rows, bytes, MADV_HUGEPAGE); /* Advice: where it is not taken, all is well. */
    memset(q->rows, 0, bytes);
    return q;
}

/* Whether the lap is better ended here, because its beginning is free again and still in cache. */
static int turns_back(queue *q, uint64_t place) {
    if (place < HOT_ROWS)
        return 0;
    q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire);
    return q->filled - q->tail_seen < HOT_ROWS / 2;
}

report *queue_room(queue *q, uint32_t wanted, uint32_t *room) {
    uint64_t place = q->filled & (q->size - 1);
    if (q->size - place < wanted || turns_back(q, place)) {
        uint64_t lap = q->filled / q->size;
        atomic_store_explicit(&q->holes[lap % 2], q->filled, memory_order_relaxed);
        q->filled += q->size - place;
        place = 0;
    }
    /* Passing over places may for a moment put `filled` more than a ring ahead. */
    for (uint32_t spins = 0; q->filled + wanted > q->tail_seen + q->size; spins++) {
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire);
        if (spins < SPINS_MAX)
            relax();
        else
            sched_yield();
    }
    uint64_t free_rows = q->tail_seen + q->size - q->filled, to_end = q->size - place;
    if (place < HOT_ROWS && to_end > HOT_ROWS - place && wanted <= HOT_ROWS - place)
        to_end = HOT_ROWS - place; /* There it is asked again whether to turn back. */
    free_rows = free_rows < to_end ? free_rows : to_end;
    *room = free_rows < ROOM_MOST ? free_rows : ROOM_MOST;
    return q->rows + place;
}

static int queue_push(void *handle, const report *row) {
    uint32_t room;
    *queue_room(handle, 1, &room) = *row;
    queue_commit(handle, 1);
    return 1;
}

static uint32_t queue_drain(void *handle, report *rows, uint32_t most) {
    queue *q = handle;
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint32_t got = 0;
    while (got < most && q->drained != head) {
        uint64_t lap = q->drained / q->size, place = q->drained % q->size;
        uint64_t end = (lap + 1) * q->size;
        uint64_t hole = atomic_load_explicit(&q->holes[lap % 2], memory_order_relaxed);
        if (hole == q->drained) { /* Head is beyond it. */
            q->drained = end;
            continue;
        }
        if (hole > q->drained && hole < end)
            end = hole;
        uint64_t count = (head < end ? head : end) - q->drained;
        if (count > most - got)
            count = most - got;
        memcpy(rows + got, q->rows + place, count * sizeof *rows);
        q->drained += count;
        got += count;
    }
    if (got)
        atomic_store_explicit(&q->tail, q->drained, memory_order_release);
    else
        for (int moment = 0; moment < PATIENCE; moment++)
            relax();
    return got;
}

static void queue_flush(void *handle) {
    (void)handle; /* Whatever was pushed or committed is visible already. */
}

static void queue_destroy(void *handle) {
    queue *q = handle;
    free(q->rows);
    free(q);
}

const transport queue_transport = {queue_create, queue_push, queue_drain, queue_flush,
                                   queue_destroy};
