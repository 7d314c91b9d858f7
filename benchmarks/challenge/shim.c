/* How does a C caller reach kernels that are Python compiled by numba?
 *
 * engine_init starts the interpreter, unless the host is Python itself, imports
 * benchmarks.challenge.entry once and learns where the native code is. No Python runs after that,
 * and the interpreter lock is free for the host's threads. The interpreter is never stopped: numpy
 * cannot be started twice in one process.
 *
 * Python's own symbols are looked up at run time, globally visible, because extension modules such
 * as numpy's expect to find them so even when this library was loaded with RTLD_LOCAL.
 */
#define _GNU_SOURCE
#include "challenge.h"
#include "queue.h"

#include <dlfcn.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#ifndef PYTHON_LIBRARY
#error "PYTHON_LIBRARY, PYTHON_PROGRAM, PROJECT_ROOT and PLAY_KERNEL are given by build.py"
#endif

/* Reports are published after so many messages: 5 us, and the line that says so costs 60 ns. */
enum { FOREIGN_ROWS = 512, CHUNK = 256, ROWS_SURE = 2 };

typedef struct object object;
typedef int64_t (*play_fn)(char *, const msg *, int64_t, report *, int64_t);
typedef int64_t (*single_fn)(char *, const void *, report *, int64_t);
typedef int64_t (*best_fn)(char *, int64_t);
typedef int64_t (*depth_fn)(char *, int64_t, int64_t);

/* The native code. What `play` leaves in the counters lies at two offsets, in bytes. */
static struct {
    play_fn play;
    single_fn enter, cancel, modify;
    best_fn best;
    depth_fn depth_at;
    int64_t rows_used, rows_wanted;
    object *open_book; /* The class. */
} native;

static struct {
    char *arena;
    report *rows;  /* Where the next reports are written, */
    uint32_t room; /* and how many may be. */
    int is_ours;   /* Whether that is in our own queue. */
    const transport *out;
    void *queue;
    object *python;
    report foreign[FOREIGN_ROWS] __attribute__((aligned(64)));
} book;

static struct {
    int (*IsInitialized)(void);
    void (*SetProgramName)(const wchar_t *);
    void (*InitializeEx)(int);
    object *(*SaveThread)(void);
    int (*Ensure)(void);
    void (*Release)(int);
    int (*Run)(const char *);
    object *(*Import)(const char *);
    object *(*GetAttr)(object *, const char *);
    object *(*Call)(object *, object *);
    long long (*AsLongLong)(object *);
    void (*DecRef)(object *);
    void (*Print)(void);
    object *(*NewTuple)(ptrdiff_t);
} py;

static void give_up(const char *what) {
    fprintf(stderr, "tillbook: %s\n", what);
    abort();
}

static void look_up(void *library, void **where, const char *name) {
    *where = dlsym(library, name);
    if (!*where) {
        fprintf(stderr, "tillbook: this Python has no %s\n", name);
        abort();
    }
}

static void find_python(void) {
    void *library = dlopen(NULL, RTLD_NOW);
    if (!library || !dlsym(library, "Py_IsInitialized"))
        library = dlopen(PYTHON_LIBRARY, RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        give_up(dlerror());
    look_up(library, (void **)&py.IsInitialized, "Py_IsInitialized");
    look_up(library, (void **)&py.SetProgramName, "Py_SetProgramName");
    look_up(library, (void **)&py.InitializeEx, "Py_InitializeEx");
    look_up(library, (void **)&py.SaveThread, "PyEval_SaveThread");
    look_up(library, (void **)&py.Ensure, "PyGILState_Ensure");
    look_up(library, (void **)&py.Release, "PyGILState_Release");
    look_up(library, (void **)&py.Run, "PyRun_SimpleString");
    look_up(library, (void **)&py.Import, "PyImport_ImportModule");
    look_up(library, (void **)&py.GetAttr, "PyObject_GetAttrString");
    look_up(library, (void **)&py.Call, "PyObject_CallObject");
    look_up(library, (void **)&py.AsLongLong, "PyLong_AsLongLong");
    look_up(library, (void **)&py.DecRef, "Py_DecRef");
    look_up(library, (void **)&py.Print, "PyErr_Print");
}

static object *must(object *value, const char *what) {
    if (!value) {
        py.Print();
        give_up(what);
    }
    return value;
}

static int64_t number(object *owner, const char *name) {
    object *value = must(py.GetAttr(owner, name), name);
    int64_t result = py.AsLongLong(value);
    py.DecRef(value);
    return result;
}

/* Everything that is done once in a process. */
static void start_python(void) {
    find_python();
    if (!py.IsInitialized()) {
        static wchar_t program[PATH_MAX];
        swprintf(program, PATH_MAX, L"%s", PYTHON_PROGRAM);
        py.SetProgramName(program); /* So that it finds the virtual environment. */
        py.InitializeEx(0);         /* The host keeps its signal handlers. */
        py.SaveThread();
    }
    int lock = py.Ensure();
    if (py.Run("import sys\n"
               "if '" PROJECT_ROOT "' not in sys.path: sys.path.insert(0, '" PROJECT_ROOT "')\n"))
        give_up("Python does not start");
    object *entry = must(py.Import("benchmarks.challenge.entry"), "no benchmarks.challenge.entry");
    native.play = (play_fn)number(entry, PLAY_KERNEL);
    native.enter = (single_fn)number(entry, "ENTER");
    native.cancel = (single_fn)number(entry, "CANCEL");
    native.modify = (single_fn)number(entry, "MODIFY");
    native.best = (best_fn)number(entry, "BEST");
    native.depth_at = (depth_fn)number(entry, "DEPTH_AT");
    native.rows_used = number(entry, "ROWS_USED");
    native.rows_wanted = number(entry, "ROWS_WANTED");
    native.open_book = must(py.GetAttr(entry, "OpenBook"), "no OpenBook");
    py.DecRef(entry);
    py.Release(lock);
}

static int64_t *counter_at(int64_t offset) {
    return (int64_t *)(book.arena + offset);
}

EXPORTED void engine_init(uint64_t seed, const transport *out, void *queue) {
    (void)seed; /* Nothing here is drawn by chance. */
    if (!native.play)
        start_python();
    engine_shutdown();
    int lock = py.Ensure();
    book.python = must(py.Call(native.open_book, NULL), "no book");
    book.arena = (char *)number(book.python, "address");
    py.Release(lock);
    book.out = out;
    book.queue = queue;
    book.is_ours = out == &queue_transport;
    book.room = 0;
}

EXPORTED void engine_shutdown(void) {
    if (!book.python)
        return;
    int lock = py.Ensure();
    py.DecRef(book.python);
    py.Release(lock);
    book.python = NULL;
}

static void push_all(const report *rows, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        while (!book.out->push(book.queue, rows + i))
            relax();
}

/* Have room for so many reports, at most ROOM_MOST or FOREIGN_ROWS. */
static void make_room(int64_t wanted) {
    book.rows = book.foreign;
    book.room = FOREIGN_ROWS;
    if (book.is_ours)
        book.rows = queue_room(book.queue, wanted, &book.room);
}

/* Pass on the reports just written: one store, if the queue is ours. */
static void publish(int64_t count) {
    if (!book.is_ours) {
        push_all(book.foreign, count);
        return;
    }
    queue_commit(book.queue, count);
    book.rows += count;
    book.room -= count;
}

/* Carry out messages until there is no room for what the next may report; return how many. */
static uint32_t play(const msg *messages, uint32_t count, report *rows, uint32_t room) {
    *counter_at(native.rows_used) = -1;
    uint32_t done = native.play(book.arena, messages, count, rows, room);
    if (*counter_at(native.rows_used) < 0)
        give_up("an assertion of a kernel failed, see above"); /* It returned before its end. */
    return done;
}

/* A message whose reports may fill more than one stretch of rows: a sweep through thousands. */
static report *rows_apart(int64_t wanted) {
    report *rows = aligned_alloc(64, wanted * sizeof *rows);
    if (!rows)
        give_up("no memory for the reports of one message");
    return rows;
}

static int is_large(int64_t wanted) {
    return wanted > (book.is_ours ? ROOM_MOST : FOREIGN_ROWS);
}

EXPORTED void engine_on_batch(const msg *messages, uint32_t count) {
    int64_t wanted = ROWS_SURE;
    while (count > 0) {
        if (book.room < CHUNK || book.room < wanted)
            make_room(wanted);
        uint32_t done = play(messages, count < CHUNK ? count : CHUNK, book.rows, book.room);
        publish(*counter_at(native.rows_used));
        messages += done;
        count -= done;
        wanted = *counter_at(native.rows_wanted);
        if (is_large(wanted)) {
            report *rows = rows_apart(wanted);
            play(messages++, 1, rows, wanted);
            push_all(rows, *counter_at(native.rows_used));
            free(rows);
            count--;
            book.room = 0; /* It was pushed behind our back. */
            wanted = ROWS_SURE;
        }
    }
}

/* What `single_fn` could not begin: have the room that it wants, and once more. */
static __attribute__((noinline)) void carry_out_with_room(single_fn call, const void *body,
                                                          int64_t wanted) {
    if (wanted <= 0)
        give_up("an assertion of a kernel failed, see above");
    if (!is_large(wanted)) {
        make_room(wanted);
        publish(call(book.arena, body, book.rows, book.room));
        return;
    }
    report *rows = rows_apart(wanted);
    push_all(rows, call(book.arena, body, rows, wanted));
    free(rows);
    book.room = 0;
}

static inline void carry_out(single_fn call, const void *body) {
    if (__builtin_expect(book.room < ROWS_SURE, 0))
        make_room(ROWS_SURE);
    int64_t used = call(book.arena, body, book.rows, book.room);
    if (__builtin_expect(used > 0, 1))
        publish(used);
    else
        carry_out_with_room(call, body, -used);
}

EXPORTED void engine_on_new_order(const new_order *message) {
    carry_out(native.enter, message);
}

EXPORTED void engine_on_cancel(const cancel *message) {
    carry_out(native.cancel, message);
}

EXPORTED void engine_on_modify(const modify *message) {
    carry_out(native.modify, message);
}

EXPORTED void engine_flush(void) {
    book.out->flush(book.queue); /* Every message was carried out before its call returned. */
}

EXPORTED int64_t engine_query_best_bid(void) {
    return native.best(book.arena, SIDE_BUY);
}

EXPORTED int64_t engine_query_best_ask(void) {
    return native.best(book.arena, SIDE_SELL);
}

EXPORTED uint64_t engine_query_depth_at(int64_t price_ticks, uint8_t side) {
    return native.depth_at(book.arena, price_ticks, side);
}

EXPORTED const transport *engine_get_transport(void) {
    return &queue_transport;
}
