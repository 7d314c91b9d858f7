/* What passes between a matching engine and whoever plays messages to it?
 *
 * The C interface of the public matching engine challenge: little endian, natural alignment.
 * Everything below is exported by the shared library under these names.
 */
#ifndef TILLBOOK_CHALLENGE_H
#define TILLBOOK_CHALLENGE_H

#include <stdint.h>

enum { SIDE_BUY = 0, SIDE_SELL = 1 };
enum { MSG_NEW = 0, MSG_CANCEL = 1, MSG_MODIFY = 2 };
enum {
    REPORT_ORDER_ACK = 0,
    REPORT_TRADE = 1,
    REPORT_CANCEL_ACK = 2,
    REPORT_MODIFY_ACK = 3,
    REPORT_CANCEL_REJECT = 4,
    REPORT_MODIFY_REJECT = 5
};

typedef struct {
    uint64_t order_id, sequence;
    int64_t price_ticks;
    uint32_t quantity;
    uint8_t side, ioc, pad[2];
} new_order;

typedef struct {
    uint64_t order_id, sequence;
} cancel;

typedef struct {
    uint64_t order_id, sequence;
    int64_t new_price_ticks;
    uint32_t new_quantity;
    uint8_t side, pad[3];
} modify;

typedef struct {
    uint8_t type, pad[7];
    union {
        new_order new_order;
        cancel cancel;
        modify modify;
    } as;
} msg;

typedef struct {
    uint8_t type, side, pad[6];
    uint64_t sequence, order_id;
    int64_t price_ticks;
    uint32_t quantity, pad_quantity;
    uint64_t maker_order_id, taker_order_id, pad_end;
} report;

_Static_assert(sizeof(new_order) == 32 && sizeof(cancel) == 16 && sizeof(modify) == 32, "layout");
_Static_assert(sizeof(msg) == 40 && sizeof(report) == 64, "layout");

/* A queue from one producing to one consuming thread. */
typedef struct {
    void *(*create)(uint32_t capacity);
    int (*push)(void *queue, const report *row); /* 0: it was full, push again. */
    uint32_t (*drain)(void *queue, report *rows, uint32_t most);
    void (*flush)(void *queue);
    void (*destroy)(void *queue);
} transport;

#define EXPORTED __attribute__((visibility("default")))

EXPORTED void engine_init(uint64_t seed, const transport *out, void *queue);
EXPORTED void engine_shutdown(void);
EXPORTED void engine_flush(void);
EXPORTED void engine_on_new_order(const new_order *message);
EXPORTED void engine_on_cancel(const cancel *message);
EXPORTED void engine_on_modify(const modify *message);
EXPORTED void engine_on_batch(const msg *messages, uint32_t count);
EXPORTED int64_t engine_query_best_bid(void);
EXPORTED int64_t engine_query_best_ask(void);
EXPORTED uint64_t engine_query_depth_at(int64_t price_ticks, uint8_t side);
EXPORTED const transport *engine_get_transport(void);

#endif
