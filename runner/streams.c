#include "runner/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

enum { CHANNEL_BUFFER_BYTES = 256 * 1024 };

static bool open_channel(struct streams *s)
{
    static const int bytes = CHANNEL_BUFFER_BYTES;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    for (int k = 0; k < 2; k++) { /* as far as net.core.*mem_max lets us; the rest is the kernel's choice */
        (void)setsockopt(ends[k], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        (void)setsockopt(ends[k], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    s->channel = ends[0];
    s->their_channel = ends[1];
    /* It is a socket of our network, where its holder could take an abstract name. It cannot if it has one: here is one
     * of the kernel's choice. */
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    if (bind(ends[1], (struct sockaddr *)&any, sizeof any.sun_family) < 0)
        return false;
    return fcntl(s->channel, F_SETFL, O_NONBLOCK) == 0;
}

static bool open_pipe(int *ret_read, int *ret_write)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    *ret_read = ends[0];
    *ret_write = ends[1];
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

enum hob_code streams_open(struct streams *ret_streams, bool wants_logs, struct hob_err *err)
{
    struct streams s = {-1, -1, -1, -1, -1, -1};
    bool is_open = open_channel(&s);
    if (wants_logs)
        is_open = is_open && open_pipe(&s.out, &s.their_out) && open_pipe(&s.err, &s.their_err);
    else
        is_open = is_open && (s.their_out = open("/dev/null", O_WRONLY | O_CLOEXEC)) >= 0 &&
                  (s.their_err = open("/dev/null", O_WRONLY | O_CLOEXEC)) >= 0;
    if (!is_open) {
        int errnum = errno;
        streams_close(&s);
        return hob_fail_errno(err, errnum, "making the descriptors of an instance");
    }
    *ret_streams = s;
    return HOB_OK;
}

void streams_close(struct streams *s)
{
    int *all[] = {&s->channel, &s->their_channel, &s->out, &s->their_out, &s->err, &s->their_err};
    for (size_t i = 0; i < HOB_COUNT(all); i++) {
        hob_close_p(all[i]);
        *all[i] = -1;
    }
}
