/* Do all rows arrive, once and in order, whatever stretches they are asked for and drained in? */
#include "queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ROWS = 3000000, DRAIN_MOST = 700 };

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
    for (uint64_t next = 0; next < ROWS;) {
        uint32_t got = queue_transport.drain(ring, rows, 1 + draw(&state, DRAIN_MOST));
        for (uint32_t i = 0; i < got; i++, next++)
            if (rows[i].sequence != next || rows[i].maker_order_id != ~next)
                wrong = 1;
    }
    return NULL;
}

int main(void) {
    ring = queue_transport.create(1000);
    pthread_t consumer;
    if (!ring || pthread_create(&consumer, NULL, consume, NULL))
        return 2;
    uint32_t state = 1;
    for (uint64_t next = 0; next < ROWS;) {
        uint32_t wanted = 1 + draw(&state, ROOM_MOST - 1), room = 0;
        report *rows = queue_room(ring, wanted, &room);
        if (room < wanted)
            return 3;
        uint32_t count = draw(&state, room);
        if (count > ROWS - next)
            count = ROWS - next;
        for (uint32_t i = 0; i < count; i++, next++) {
            rows[i].sequence = next;
            rows[i].maker_order_id = ~next;
        }
        queue_commit(ring, count);
    }
    pthread_join(consumer, NULL);
    queue_transport.destroy(ring);
    return wrong;
}
