#include "runner/init/health.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "runner/init/program.h"

enum { FAILED = 1 };

char **health_read(struct health *h, const char *text, char **argv, int argc)
{
    unsigned long long interval, timeout, start;
    unsigned retries;
    int signal, words;
    *h = (struct health){0};
    if (sscanf(text, "%d:%llu:%llu:%llu:%u:%d", &signal, &interval, &timeout, &start, &retries, &words) !=
            6 ||
        words < 1 || words >= argc)
        return argv;
    *h = (struct health){.words_n = words,
                         .interval_ms = interval ? interval : 1,
                         .timeout_ms = timeout ? timeout : 1,
                         .start_ms = start,
                         .retries = retries ? retries : 1};
    h->words = calloc((size_t)words + 1, sizeof *h->words);
    if (!h->words)
        h->words_n = 0;
    for (int i = 0; i < h->words_n; i++)
        h->words[i] = argv[i];
    return argv + words;
}

void health_begin(struct health *h)
{
    h->began_ms = hob_now_ms();
    h->next_ms = h->began_ms + h->interval_ms;
}

int health_wait_ms(const struct health *h)
{
    uint64_t now = hob_now_ms(), at = h->pid ? h->until_ms : h->next_ms;
    if (!h->words_n || h->is_unwell || (h->pid && h->is_late))
        return -1;
    return at <= now ? 0 : at - now > 60000 ? 60000 : (int)(at - now);
}

static void judge(struct health *h, int status, uint64_t now)
{
    bool is_good = status == 0 && !h->is_late;
    h->next_ms = now + h->interval_ms;
    h->is_late = false;
    if (is_good)
        h->failures = 0;
    else if (now - h->began_ms >= h->start_ms)
        h->failures++;
    h->is_unwell = h->failures >= h->retries;
}

bool health_turn(struct health *h, int status)
{
    uint64_t now = hob_now_ms();
    if (!h->words_n || h->is_unwell)
        return false;
    if (h->until_ms && h->pid == 0) { /* it ran, and was buried */
        h->until_ms = 0;
        judge(h, status, now);
    } else if (h->pid && now >= h->until_ms && !h->is_late) {
        h->is_late = true;
        (void)kill(h->pid, SIGKILL);
    } else if (h->pid == 0 && now >= h->next_ms) {
        h->until_ms = now + h->timeout_ms;
        h->pid = program_start(h->words);
        if (h->pid < 0) {
            h->pid = 0;
            h->until_ms = 0;
            judge(h, FAILED, now);
        }
    }
    return h->is_unwell;
}
