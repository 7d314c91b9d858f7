#include "queue.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE = 64, SPINS_MAX = 1024, ROWS_LEAST = 1 << 17 };

/* Positions count rows from the beginning of time; row `p` is in place `p % size`. A lap may end
 * before its last place, because what the producer asks for is never split: the position where lap
 * `n` ended is in holes[n % 2], and the places up to the next lap are passed over. Two are enough,
 * because the producer is never a whole ring ahead. */
struct queue {
    _Alignas(LINE) uint64_t filled, tail_seen; /* The producer's own. */
    _Alignas(LINE) _Atomic uint64_t head, holes[2];
    _Alignas(LINE) uint64_t drained; /* The consumer's own. */
    _Alignas(LINE) _Atomic uint64_t tail;
    _Alignas(LINE) uint64_t size;
    report *rows;
};

static void *queue_create(uint32_t capacity) {
    queue *q = aligned_alloc(LINE, sizeof *q);
    if (!q)
        return NULL;
    memset(q, 0, sizeof *q);
    q->size = ROWS_LEAST;
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

report *queue_room(queue *q, uint32_t wanted, uint32_t *room) {
    uint64_t lap = q->filled / q->size, place = q->filled % q->size;
    if (q->size - place < wanted) {
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
    free_rows = free_rows < to_end ? free_rows : to_end;
    *room = free_rows < ROOM_MOST ? free_rows : ROOM_MOST;
    return q->rows + place;
}

void queue_commit(queue *q, uint32_t rows) {
    if (rows == 0)
        return; /* A hole alone tells nobody anything. */
    q->filled += rows;
    atomic_store_explicit(&q->head, q->filled, memory_order_release);
}

static void queue_push(void *handle, const report *row) {
    uint32_t room;
    *queue_room(handle, 1, &room) = *row;
    queue_commit(handle, 1);
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
