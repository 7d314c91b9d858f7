/* How fast is an engine behind the challenge's C interface, and what does it report?
 *
 *     player LIBRARY MESSAGES REPORTS RUN ROUNDS [foreign]
 *
 * MESSAGES is a file of `msg`. They are played to a fresh engine each round, in runs of RUN messages
 * (0: message by message through the three single calls), while a second thread drains the reports.
 * After each run the best prices and the depth there are asked. The reports and answers of the first
 * round go to REPORTS and REPORTS.answers. In each of the ROUNDS that follow, the second thread folds
 * every byte of the reports into a fingerprint, which must be that of the first round. The time from
 * the first message to the end of engine_flush, less what the questions took, is printed in
 * nanoseconds, that of the first round first: it is the one that finds everything cold.
 * With `foreign` the queue is one of this program's own instead of the engine's.
 */
#define _GNU_SOURCE
#include "challenge.h"
#include "queue.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CAPACITY = 1 << 20, DRAIN_MOST = 256, WORDS = sizeof(report) / 8 };

static struct {
    void (*init)(uint64_t, const transport *, void *);
    void (*shutdown)(void), (*flush)(void);
    void (*on_new_order)(const new_order *);
    void (*on_cancel)(const cancel *);
    void (*on_modify)(const modify *);
    void (*on_batch)(const msg *, uint32_t);
    int64_t (*best_bid)(void), (*best_ask)(void);
    uint64_t (*depth_at)(int64_t, uint8_t);
    const transport *(*get_transport)(void);
} engine;

typedef struct {
    int64_t best_bid, best_ask;
    uint64_t bid_depth, ask_depth;
} answer;

static void fail(const char *what) {
    fprintf(stderr, "player: %s\n", what);
    exit(1);
}

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail(dlerror());
    const struct {
        void *where;
        const char *name;
    } symbols[] = {
        {&engine.init, "engine_init"},
        {&engine.shutdown, "engine_shutdown"},
        {&engine.flush, "engine_flush"},
        {&engine.on_new_order, "engine_on_new_order"},
        {&engine.on_cancel, "engine_on_cancel"},
        {&engine.on_modify, "engine_on_modify"},
        {&engine.on_batch, "engine_on_batch"},
        {&engine.best_bid, "engine_query_best_bid"},
        {&engine.best_ask, "engine_query_best_ask"},
        {&engine.depth_at, "engine_query_depth_at"},
        {&engine.get_transport, "engine_get_transport"},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *found = dlsym(library, symbols[i].name);
        if (!found)
            fail(symbols[i].name);
        memcpy(symbols[i].where, &found, sizeof found);
    }
}

/* A plain bounded ring, for an engine that is given somebody else's queue. */
typedef struct {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    report rows[CAPACITY];
} ring;

static void *ring_create(uint32_t capacity) {
    (void)capacity;
    ring *r = aligned_alloc(64, sizeof *r);
    if (r)
        memset(r, 0, sizeof *r);
    return r;
}

static int ring_push(void *handle, const report *row) {
    ring *r = handle;
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == CAPACITY)
        return 0;
    r->rows[head % CAPACITY] = *row;
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return 1;
}

static uint32_t ring_drain(void *handle, report *rows, uint32_t most) {
    ring *r = handle;
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t ready = atomic_load_explicit(&r->head, memory_order_acquire) - tail;
    if (ready > most)
        ready = most;
    for (uint64_t i = 0; i < ready; i++)
        rows[i] = r->rows[(tail + i) % CAPACITY];
    atomic_store_explicit(&r->tail, tail + ready, memory_order_release);
    return ready;
}

static void ring_flush(void *handle) {
    (void)handle;
}

static const transport ring_transport = {ring_create, ring_push, ring_drain, ring_flush, free};

typedef struct {
    const transport *out;
    void *queue;
    report *kept; /* Where all reports go, or NULL when only the fingerprint is wanted. */
    uint64_t count, most;
    uint64_t fingerprint[WORDS];
    _Atomic int ready, over;
} drainer;

static void use_core(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core % sysconf(_SC_NPROCESSORS_ONLN), &set);
    sched_setaffinity(0, sizeof set, &set); /* Without leave to choose it runs where it may. */
}

static void fold(drainer *d, const report *rows, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint64_t words[WORDS];
        memcpy(words, rows + i, sizeof words);
        for (int j = 0; j < WORDS; j++)
            d->fingerprint[j] = (d->fingerprint[j] ^ words[j]) * 0x9E3779B97F4A7C15u;
    }
}

static void *drain(void *argument) {
    static report rows[DRAIN_MOST];
    drainer *d = argument;
    use_core(1);
    atomic_store(&d->ready, 1);
    uint32_t idle = 0;
    for (;;) {
        /* Asked before draining: what was pushed before `over` is then surely drained. */
        int over = atomic_load_explicit(&d->over, memory_order_acquire);
        uint32_t got = d->out->drain(d->queue, rows, DRAIN_MOST);
        fold(d, rows, got);
        if (d->kept && d->count + got <= d->most)
            memcpy(d->kept + d->count, rows, got * sizeof *rows);
        d->count += got;
        if (got) {
            idle = 0;
            continue;
        }
        if (over)
            return NULL;
        if (++idle < 256)
            relax();
        else
            sched_yield();
    }
}

static void play_singly(const msg *message) {
    if (message->type == MSG_NEW)
        engine.on_new_order(&message->as.new_order);
    else if (message->type == MSG_CANCEL)
        engine.on_cancel(&message->as.cancel);
    else
        engine.on_modify(&message->as.modify);
}

static answer ask(void) {
    answer a = {engine.best_bid(), engine.best_ask(), 0, 0};
    a.bid_depth = engine.depth_at(a.best_bid, SIDE_BUY);
    a.ask_depth = engine.depth_at(a.best_ask, SIDE_SELL);
    return a;
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Play everything and return the nanoseconds that the questions took. */
static int64_t play(const msg *messages, uint64_t count, uint64_t run, answer *answers) {
    uint64_t step = run ? run : 1;
    int64_t asking_ns = 0;
    for (uint64_t at = 0; at < count; at += step) {
        uint64_t here = count - at < step ? count - at : step;
        if (run)
            engine.on_batch(messages + at, here);
        else
            play_singly(messages + at);
        if (run) {
            int64_t start_ns = now_ns();
            *answers++ = ask();
            asking_ns += now_ns() - start_ns;
        }
    }
    engine.flush();
    return asking_ns;
}

static void write_file(const char *path, const char *ending, const void *bytes, size_t size) {
    char name[4096];
    snprintf(name, sizeof name, "%s%s", path, ending);
    FILE *file = fopen(name, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        fail("cannot write the reports");
}

static const msg *read_messages(const char *path, uint64_t *count) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status))
        fail("cannot read the messages");
    *count = status.st_size / sizeof(msg);
    msg *messages = malloc(status.st_size + 1);
    if (!messages || fread(messages, sizeof(msg), *count, file) != *count)
        fail("cannot read the messages");
    fclose(file);
    return messages;
}

static void *pages(uint64_t size) {
    void *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        fail("no memory for the reports");
    madvise(area, size, MADV_HUGEPAGE);
    memset(area, 0, size);
    return area;
}

/* Play everything to a fresh engine and return the nanoseconds it took. */
static int64_t play_round(drainer *d, const msg *messages, uint64_t count, uint64_t run,
                          answer *answers) {
    d->queue = d->out->create(CAPACITY);
    if (!d->queue)
        fail("no queue");
    engine.init(1, d->out, d->queue);
    pthread_t thread;
    if (pthread_create(&thread, NULL, drain, d))
        fail("no thread");
    while (!atomic_load(&d->ready))
        sched_yield();

    int64_t start_ns = now_ns();
    int64_t asking_ns = play(messages, count, run, answers);
    int64_t end_ns = now_ns();

    atomic_store_explicit(&d->over, 1, memory_order_release);
    pthread_join(thread, NULL);
    engine.shutdown();
    d->out->destroy(d->queue);
    return end_ns - start_ns - asking_ns;
}

int main(int argc, char **argv) {
    if (argc < 6)
        fail("LIBRARY MESSAGES REPORTS RUN ROUNDS [foreign]");
    load(argv[1]);
    uint64_t count, run = strtoull(argv[4], NULL, 10), rounds = strtoull(argv[5], NULL, 10);
    const msg *messages = read_messages(argv[2], &count);
    const transport *out = argc > 6 ? &ring_transport : engine.get_transport();
    uint64_t most = 4 * count + 65536, probes = run ? (count + run - 1) / run : 0;
    report *rows = pages(most * sizeof *rows);
    answer *answers = pages((probes + 1) * sizeof *answers);

    use_core(0);
    drainer first = {.out = out, .kept = rows, .most = most};
    printf("%lld\n", (long long)play_round(&first, messages, count, run, answers));
    if (first.count > most)
        fail("more reports than there can be");
    write_file(argv[3], "", rows, first.count * sizeof *rows);
    write_file(argv[3], ".answers", answers, probes * sizeof *answers);
    munmap(rows, most * sizeof *rows);

    for (uint64_t round = 0; round < rounds; round++) {
        drainer d = {.out = out};
        printf("%lld\n", (long long)play_round(&d, messages, count, run, answers));
        fflush(stdout);
        if (d.count != first.count || memcmp(d.fingerprint, first.fingerprint, sizeof d.fingerprint))
            fail("two rounds gave different reports");
    }
    return 0;
}
