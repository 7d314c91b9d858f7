/* Do all rows arrive, once and in order, whatever stretches they are asked for and drained in?
 *
 * In a ring of the least size and in one of many times that, where a lap turns back early while the
 * consumer keeps up and goes on while it does not. */
#include "queue.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ROWS = 3000000, DRAIN_MOST = 700, SLEEPS_EVERY = 400000, SLEEPS = 20000 };

static void *ring;
static _Atomic int wrong;

static uint32_t draw(uint32_t *state, uint32_t most) {
    *state = *state * 1103515245 + 12345;
    return (*state >> 16) % (most + 1);
}

static void *consume(void *unused) {
    (void)unused;
    static report rows[DRAIN_MOST + 1];
    uint32_t state = 7;
    uint64_t awake = SLEEPS_EVERY;
    for (uint64_t next = 0; next < ROWS;) {
        if (next > awake) { /* Falls behind now and then, by more than the hot part. */
            for (int i = 0; i < SLEEPS; i++)
                sched_yield();
            awake += SLEEPS_EVERY;
        }
        uint32_t got = queue_transport.drain(ring, rows, 1 + draw(&state, DRAIN_MOST));
        for (uint32_t i = 0; i < got; i++, next++)
            if (rows[i].sequence != next || rows[i].maker_order_id != ~next)
                wrong = 1;
    }
    return NULL;
}

static int all_arrive(uint32_t capacity) {
    ring = queue_transport.create(capacity);
    pthread_t consumer;
    if (!ring || pthread_create(&consumer, NULL, consume, NULL))
        return 2;
    uint32_t state = 1;
    for (uint64_t next = 0; next < ROWS;) {
        uint32_t wanted = 1 + draw(&state, ROOM_MOST - 1), room = 0;
        report *rows = queue_room(ring, wanted, &room);
        if (room < wanted)
            return 3;
        uint32_t left = draw(&state, room);
        if (left > ROWS - next)
            left = ROWS - next;
        while (left > 0) { /* In several pieces, as one message after the other is. */
            uint32_t piece = 1 + draw(&state, left - 1);
            for (uint32_t i = 0; i < piece; i++, next++, rows++) {
                rows->sequence = next;
                rows->maker_order_id = ~next;
            }
            queue_commit(ring, piece);
            left -= piece;
        }
    }
    pthread_join(consumer, NULL);
    queue_transport.destroy(ring);
    return wrong;
}

/* Only the hot places are used while every row is drained at once, and others while none is. */
static int stays_hot(void) {
    static report drained[ROOM_MOST];
    queue *q = queue_transport.create(1 << 20);
    uint64_t furthest = 0;
    for (int turn = 0; turn < 200; turn++) {
        uint32_t room;
        uint64_t place = queue_room(q, 2, &room) - q->rows;
        furthest = place + room > furthest ? place + room : furthest;
        queue_commit(q, room);
        if (queue_transport.drain(q, drained, ROOM_MOST) != room)
            return 5;
    }
    if (furthest > HOT_ROWS || q->filled < 4 * HOT_ROWS)
        return 6;
    for (int turn = 0; turn < 200; turn++) { /* Would wait for ever if there were no more places. */
        uint32_t room;
        queue_room(q, ROOM_MOST, &room);
        queue_commit(q, room);
    }
    queue_transport.destroy(q);
    return 0;
}

int main(void) {
    int failed = all_arrive(1000);
    if (!failed)
        failed = all_arrive(1 << 20);
    return failed ? failed : stays_hot();
}
