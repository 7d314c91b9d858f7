/* How do reports get from the matching thread to the one that judges them?
 *
 * Through a ring of rows with one producer, which writes them in place, and one consumer, which
 * copies them out. While the consumer keeps up only the first HOT_ROWS places are used, again and
 * again: they stay in the shared cache, whatever capacity was asked for. Fewer are not better. The
 * lines of a small ring go to and fro between two cores, and each that the consumer has just read
 * costs the producer an upgrade; of several megabytes the line has meanwhile gone to the shared
 * cache and is fetched ahead.
 */
#ifndef TILLBOOK_QUEUE_H
#define TILLBOOK_QUEUE_H

#include "challenge.h"

#include <stdatomic.h>

enum { ROOM_MOST = 4096, HOT_ROWS = 1 << 17, CACHE_LINE = 64 };

/* Wait a moment, as a loop that asks again and again should. */
static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Positions count rows from the beginning of time; row `p` is in place `p % size`. A lap may end
 * before its last place: the position where lap `n` ended is in holes[n % 2], and the places up to
 * the next lap are passed over. Two are enough, because the producer is never a whole ring ahead. */
typedef struct {
    _Alignas(CACHE_LINE) uint64_t filled, tail_seen; /* The producer's own. */
    _Alignas(CACHE_LINE) _Atomic uint64_t head, holes[2];
    _Alignas(CACHE_LINE) uint64_t drained; /* The consumer's own. */
    _Alignas(CACHE_LINE) _Atomic uint64_t tail;
    _Alignas(CACHE_LINE) uint64_t size; /* A power of two. */
    report *rows;
} queue;

extern const transport queue_transport;

/* Where at least `wanted` rows, at most ROOM_MOST, may be written, and how many in fact; waits until
 * there is room. What was given before and not committed is given again. The consumer sees nothing
 * of it before `queue_commit`. */
report *queue_room(queue *q, uint32_t wanted, uint32_t *room);

/* Publish the next `rows` rows of what `queue_room` returned. One store; may be called again for
 * those that follow, up to the room there was. */
static inline void queue_commit(queue *q, uint32_t rows) {
    q->filled += rows;
    atomic_store_explicit(&q->head, q->filled, memory_order_release);
}

#endif
