#include "runner/egress/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum { SIN6_BYTES_MIN = 24 /* RFC 2133: without a scope */, ANSWER_BYTES = 512 };

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

int wire_target_read(const void *address, size_t n, int domain, struct wire_target *ret_target)
{
    struct sockaddr_in v4 = {0};
    struct sockaddr_in6 v6 = {0};
    sa_family_t family = 0;
    if (n < sizeof family)
        return EINVAL;
    memcpy(&family, address, sizeof family);
    if (family != domain)
        return EAFNOSUPPORT;
    if (n < (family == AF_INET ? sizeof v4 : (size_t)SIN6_BYTES_MIN))
        return EINVAL;
    if (family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        memcpy(ret_target->address, v4_prefix, sizeof v4_prefix);
        memcpy(ret_target->address + sizeof v4_prefix, &v4.sin_addr, 4);
        ret_target->port = ntohs(v4.sin_port);
    } else {
        memcpy(&v6, address, n < sizeof v6 ? n : sizeof v6);
        memcpy(ret_target->address, &v6.sin6_addr, HOB_ADDRESS_BYTES);
        ret_target->port = ntohs(v6.sin6_port);
    }
    return 0;
}

static bool is_v4(const struct wire_target *t)
{
    return memcmp(t->address, v4_prefix, sizeof v4_prefix) == 0;
}

bool wire_is_own(const struct wire_target *t)
{
    static const uint8_t zero[HOB_ADDRESS_BYTES], one[HOB_ADDRESS_BYTES] = {[15] = 1};
    if (is_v4(t))
        return t->address[12] == IN_LOOPBACKNET || memcmp(t->address + 12, zero, 4) == 0;
    return memcmp(t->address, zero, sizeof zero) == 0 || memcmp(t->address, one, sizeof one) == 0;
}

/* On a socket of `domain`: IPv4 goes as ::ffff:a.b.c.d over one of IPv6. */
static socklen_t sockaddr_of(int domain, const struct wire_target *t, struct sockaddr_storage *to)
{
    *to = (struct sockaddr_storage){.ss_family = (sa_family_t)domain};
    if (domain == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        v4->sin_port = htons(t->port);
        memcpy(&v4->sin_addr, t->address + sizeof v4_prefix, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_port = htons(t->port);
    memcpy(&v6->sin6_addr, t->address, HOB_ADDRESS_BYTES);
    return sizeof *v6;
}

/* A connected UDP socket sends nothing, but has its route: to an address of this machine it leads from the address
 * itself, or from loopback. */
bool wire_is_local(const struct wire_target *t)
{
    struct sockaddr_storage to, from = {0};
    struct wire_target source = {0};
    socklen_t from_n = sizeof from;
    int domain = is_v4(t) ? AF_INET : AF_INET6;
    hob_auto_close int sock = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return true;
    socklen_t to_n = sockaddr_of(domain, t, &to);
    if (connect(sock, (const struct sockaddr *)&to, to_n) < 0)
        return false; /* no way there: connecting will say why */
    if (getsockname(sock, (struct sockaddr *)&from, &from_n) < 0 ||
        wire_target_read(&from, from_n, domain, &source) != 0)
        return true;
    return wire_is_own(&source) || memcmp(source.address, t->address, HOB_ADDRESS_BYTES) == 0;
}

bool wire_is_ours(int sock)
{
    static uint64_t ours; /* never changes */
    uint64_t theirs = 0;
    socklen_t n = sizeof ours;
    if (!ours) {
        hob_auto_close int own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (own < 0 || getsockopt(own, SOL_SOCKET, SO_NETNS_COOKIE, &ours, &n) < 0)
            return true;
    }
    return getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &theirs, &n) < 0 || ours == theirs;
}

/* Their defaults are zero, so only what was set costs a call; the last three count with SO_KEEPALIVE alone. */
static const struct {
    int level, name;
} carried[] = {
    {SOL_SOCKET, SO_KEEPALIVE},      {SOL_SOCKET, SO_OOBINLINE},  {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},
};
enum { CARRIED_WITHOUT_KEEPALIVE = 4 };
static const int carried_timeouts[] = {SO_RCVTIMEO, SO_SNDTIMEO};

void wire_options_read(int sock, struct wire_options *ret_options)
{
    *ret_options = (struct wire_options){.flags = fcntl(sock, F_GETFL)};
    for (size_t i = 0; i < HOB_COUNT(carried); i++) {
        socklen_t n = sizeof ret_options->values[i];
        if (i == CARRIED_WITHOUT_KEEPALIVE && !ret_options->values[0])
            break;
        if (getsockopt(sock, carried[i].level, carried[i].name, &ret_options->values[i], &n) < 0)
            ret_options->values[i] = 0;
    }
    for (size_t i = 0; i < HOB_COUNT(carried_timeouts); i++) {
        socklen_t n = sizeof ret_options->timeouts[i];
        if (getsockopt(sock, SOL_SOCKET, carried_timeouts[i], &ret_options->timeouts[i], &n) < 0)
            ret_options->timeouts[i] = (struct timeval){0};
    }
}

static void options_apply(int sock, const struct wire_options *o)
{
    for (size_t i = 0; i < HOB_COUNT(carried); i++)
        if (o->values[i])
            (void)setsockopt(sock, carried[i].level, carried[i].name, &o->values[i], sizeof o->values[i]);
    for (size_t i = 0; i < HOB_COUNT(carried_timeouts); i++)
        if (o->timeouts[i].tv_sec || o->timeouts[i].tv_usec)
            (void)setsockopt(sock, SOL_SOCKET, carried_timeouts[i], &o->timeouts[i], sizeof o->timeouts[i]);
}

int wire_connect(int domain, const struct wire_target *t, const struct wire_options *o, bool *ret_is_done)
{
    struct sockaddr_storage to;
    socklen_t to_n = sockaddr_of(domain, t, &to);
    int sock = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        return -1;
    options_apply(sock, o);
    *ret_is_done = connect(sock, (const struct sockaddr *)&to, to_n) == 0;
    if (*ret_is_done || errno == EINPROGRESS)
        return sock;
    int errnum = errno;
    (void)close(sock);
    errno = errnum;
    return -1;
}

int wire_connected(int sock, int domain, const struct wire_target *t)
{
    struct sockaddr_storage to;
    socklen_t to_n = sockaddr_of(domain, t, &to);
    int errnum = 0;
    socklen_t n = sizeof errnum;
    if (getsockopt(sock, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0)
        return errno;
    /* Until it is asked again, the kernel's socket is "connecting", whatever TCP has reached. */
    if (errnum == 0 && connect(sock, (const struct sockaddr *)&to, to_n) < 0 && errno != EISCONN)
        errnum = errno;
    return errnum;
}

bool wire_answer(int listener, uint64_t id, int errnum)
{
    union { /* the kernel copies its own size, which may have grown */
        char bytes[ANSWER_BYTES];
        struct seccomp_notif_resp answer;
    } u;
    memset(&u, 0, sizeof u);
    u.answer.id = id;
    u.answer.error = -errnum;
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &u) == 0;
}

bool wire_replace(int listener, uint64_t id, int sock, int fd, const struct wire_options *o)
{
    if (fcntl(sock, F_SETFL, o->flags & O_NONBLOCK ? O_NONBLOCK : 0) < 0)
        return false;
    struct seccomp_notif_addfd add = {.id = id,
                                      .flags = SECCOMP_ADDFD_FLAG_SETFD,
                                      .srcfd = (uint32_t)sock,
                                      .newfd = (uint32_t)fd,
                                      .newfd_flags = O_CLOEXEC};
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0;
}
