/* A native function that says to hobd what its caller wants said: the first byte of a request's body chooses the invocation
 * ('0' none, '1' its own, '2' one that never was), the rest is the text of a CALL. The REPLY is its answer. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HELLO = 1, INVOKE = 16, REPLY = 20, READY = 32, HEAD = 34, DONE = 37, CALL = 38, END = 1, META = 2 };
struct frame {
    uint32_t len;
    uint8_t type, flags;
    uint16_t code;
    uint32_t stream, arg;
};
static char payload[2 << 20];

static int get(void *to, size_t n)
{
    for (char *at = to; n;) {
        ssize_t got = read(3, at, n);
        if (got <= 0)
            return 0;
        at += got;
        n -= (size_t)got;
    }
    return 1;
}

static void put(struct frame f, const void *data)
{
    const char *at = data;
    if (write(3, &f, sizeof f) != (ssize_t)sizeof f)
        _exit(1);
    for (size_t n = f.len; n;) {
        ssize_t sent = write(3, at, n);
        if (sent <= 0)
            _exit(1);
        at += sent;
        n -= (size_t)sent;
    }
}

static int next(struct frame *f)
{
    return get(f, sizeof *f) && f->len <= sizeof payload && get(payload, f->len);
}

static void answer(uint32_t stream, const struct frame *reply)
{
    static char out[70000];
    uint32_t meta_n = 8, n = reply->len < 60000 ? reply->len : 60000;
    memset(out, 0, 12);
    memcpy(out, &meta_n, 4);
    out[4] = (char)200; /* u16 status, u16 0, no fields */
    out[12] = (char)('0' + reply->code);
    memcpy(out + 13, payload, n);
    put((struct frame){13 + n, HEAD, META | END, 0, stream, 0}, out);
    put((struct frame){0, DONE, 0, 0, stream, 0}, "");
}

int main(void)
{
    static const char ready[] = "\1\0\0\0\x8\0\0\0\1\0\0\0protocol1";
    struct frame f, reply;
    uint32_t calls = 0;
    while (next(&f)) {
        if (f.type == HELLO)
            put((struct frame){sizeof ready - 1, READY, 0, 0, 0, 0}, ready);
        if (f.type != INVOKE)
            continue;
        uint32_t meta_n, stream = f.stream;
        memcpy(&meta_n, payload, 4);
        char *data = payload + 4 + meta_n;
        uint32_t n = f.len - 4 - meta_n, arg = *data == '0' ? 0 : *data == '1' ? stream : 99999;
        calls += 2;
        put((struct frame){n - 1, CALL, END, 0, calls, arg}, data + 1);
        while (next(&reply) && reply.type != REPLY)
            ;
        answer(stream, &reply);
    }
    return 0;
}
