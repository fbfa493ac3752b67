/* The corpus: what C programs get from their C library, dynamic and static. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OK(x)                                                                                                \
    do {                                                                                                     \
        if ((x) < 0) {                                                                                       \
            perror(#x);                                                                                      \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static void *thread(void *arg)
{
    sem_post(arg);
    return NULL;
}
static void nothing(int sig)
{
    (void)sig;
}

int main(void)
{
    sem_t sem;
    pthread_t t;
    pthread_mutex_t m;
    pthread_mutexattr_t robust;
    uint64_t n = 1;
    char byte;
    OK(sem_init(&sem, 0, 0));
    if (pthread_create(&t, NULL, thread, &sem))
        return 1;
    OK(sem_wait(&sem));
    pthread_join(t, NULL);
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m, &robust);
    pthread_mutex_lock(&m);
    int e = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(0, EFD_CLOEXEC),
        tf = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    OK(e);
    OK(ev);
    OK(tf);
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    OK(timerfd_settime(tf, 0, &soon, NULL));
    OK(timerfd_gettime(tf, &soon));
    OK(read(tf, &n, 8));
    OK(write(ev, &n, 8));
    struct epoll_event event = {.events = EPOLLIN};
    OK(epoll_ctl(e, EPOLL_CTL_ADD, ev, &event));
    OK(epoll_wait(e, &event, 1, 0));
    OK(epoll_pwait(e, &event, 1, 0, NULL));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    int sf = signalfd(-1, &set, SFD_CLOEXEC);
    OK(sf);
    union sigval v = {0};
    OK(sigqueue(getpid(), SIGUSR1, v));
    struct signalfd_siginfo info;
    OK(read(sf, &info, sizeof info));
    timer_t timer;
    struct sigevent to = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    signal(SIGUSR2, nothing);
    OK(timer_create(CLOCK_MONOTONIC, &to, &timer));
    struct itimerspec once = {.it_value.tv_nsec = 1000000};
    OK(timer_settime(timer, 0, &once, NULL));
    OK(timer_gettime(timer, &once));
    OK(timer_getoverrun(timer));
    pause();
    OK(timer_delete(timer));
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    OK(sigaltstack(&stack, NULL));
    struct timeval tv = {0, 1000};
    OK(select(0, NULL, NULL, NULL, &tv));
    struct timespec ts = {0, 1000};
    OK(pselect(0, NULL, NULL, NULL, &ts, NULL));
    OK(ppoll(NULL, 0, &ts, NULL));
    OK(nanosleep(&ts, NULL));
    int pair[2];
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    struct iovec io = {&byte, 1};
    struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1}},
                              {.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1}}};
    OK(sendmmsg(pair[0], many, 2, 0));
    OK(recvmmsg(pair[1], many, 2, 0, NULL));
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(mprotect(p, 4096, PROT_READ));
    OK(mprotect(p, 4096, PROT_READ | PROT_WRITE));
    OK(madvise(p, 1 << 20, MADV_DONTNEED));
    OK(mlock(p, 4096));
    OK(munlock(p, 4096));
    OK(munmap((char *)p + (1 << 19), 1 << 19));
    if (mremap(p, 1 << 19, 2 << 20, MREMAP_MAYMOVE) == MAP_FAILED)
        return 1;
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    OK(waitpid(pid, NULL, 0));
    if ((pid = fork()) == 0)
        execl("/bin/true", "true", NULL);
    OK(waitpid(pid, NULL, 0));
    char path[] = "/tmp/corpus-XXXXXX";
    int fd = mkstemp(path);
    OK(fd);
    OK(posix_fallocate(fd, 0, 4096));
    OK(dup(fd));
    OK(dup2(fd, 100));
    OK(dup3(fd, 101, O_CLOEXEC));
    OK(futimens(fd, NULL));
    OK(faccessat(AT_FDCWD, path, R_OK, AT_EACCESS));
    OK(fchmodat(AT_FDCWD, path, 0600, 0));
    OK(syncfs(fd) < 0 && errno != ENOSYS ? -1 : 0);
    OK(unlinkat(AT_FDCWD, path, 0));
    OK(getrandom(&n, 8, 0));
    OK(getentropy(&n, 8));
    OK(syscall(SYS_close_range, 200U, 300U, 0));
    alarm(0);
    getppid(), getuid(), geteuid(), getgid(), getegid(), sched_getcpu(), time(NULL), gettimeofday(&tv, NULL);
    return clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}
