/* How do reports get from the matching thread to the one that judges them?
 *
 * Through a ring of rows with one producer, which writes them in place, and one consumer, which
 * copies them out. The ring is large on purpose. A small one whose lines go to and fro between two
 * cores costs the producer an upgrade of each line that the consumer has just read; in one of
 * several megabytes the line has meanwhile gone to the shared cache and is fetched ahead.
 */
#ifndef TILLBOOK_QUEUE_H
#define TILLBOOK_QUEUE_H

#include "challenge.h"

enum { ROOM_MOST = 512 };

/* Wait a moment, as a loop that asks again and again should. */
static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

typedef struct queue queue;

extern const transport queue_transport;

/* Where at least `wanted` rows, at most ROOM_MOST, may be written, and how many in fact; waits until
 * there is room. The consumer sees nothing of it before `queue_commit`. */
report *queue_room(queue *q, uint32_t wanted, uint32_t *room);

/* Publish the first `rows` rows at what `queue_room` returned. */
void queue_commit(queue *q, uint32_t rows);

#endif
