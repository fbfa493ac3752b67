/* DNS messages, from both sides that are not trusted: what a function asks for, and what a name server (or whoever says
 * to be one) answers.
 *
 * Oracle: a question that was taken is written and read again and is the same one; of an answer only addresses of the
 * question's type are taken, and what was taken is written and read again and gives the same addresses. */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "runner/egress/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_answer(const struct dns_question *q, const uint8_t *msg, size_t n)
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t out[DNS_ANSWER_BYTES_MAX];
    struct dns_result r, again;
    uint16_t id = n >= 2 ? (uint16_t)(msg[0] << 8 | msg[1]) : 0;
    HOB_ASSERT(!dns_answer_read(msg, n, (uint16_t)(id + 1), q, &r));
    if (!dns_answer_read(msg, n, id, q, &r))
        return;
    HOB_ASSERT(r.n <= DNS_ADDRESSES_MAX && r.code <= 15);
    HOB_ASSERT(r.n == 0 || q->type == DNS_A || q->type == DNS_AAAA);
    for (size_t i = 0; i < r.n && q->type == DNS_A; i++)
        HOB_ASSERT(memcmp(r.addresses[i], v4, sizeof v4) == 0);
    size_t out_n = dns_answer_write(q, &r, out);
    HOB_ASSERT(out_n <= sizeof out);
    HOB_ASSERT(dns_answer_read(out, out_n, q->id, q, &again));
    HOB_ASSERT(again.code == r.code && again.n <= r.n && !again.is_cut);
    HOB_ASSERT(memcmp(again.addresses, r.addresses, again.n * sizeof r.addresses[0]) == 0);
    HOB_ASSERT(again.n == r.n || out_n + 12 + 4 > sizeof out || q->type == DNS_AAAA);
}

static void check_question(const struct dns_question *q)
{
    uint8_t out[DNS_ANSWER_BYTES_MAX];
    struct dns_question again;
    unsigned code;
    size_t n = dns_question_write(0x1234, q, out);
    HOB_ASSERT(n <= sizeof out && dns_question_read(out, n, &again, &code) && code == DNS_OK);
    HOB_ASSERT(again.id == 0x1234 && again.type == q->type && strcmp(again.name, q->name) == 0);
    HOB_ASSERT(again.wire_n == q->wire_n && memcmp(again.wire, q->wire, q->wire_n) == 0);
    for (const char *at = q->name; *at; at++)
        HOB_ASSERT(*at > ' ' && *at < 0x7f);
    /* whatever rule is asked about it, it is asked in bounds */
    static struct hob_egress_rule rule;
    struct hob_err err;
    if (!rule.port)
        HOB_ASSERT(hob_egress_rule_parse(HOB_STR("*.svc.example:443"), &rule, &err) == HOB_OK);
    (void)hob_egress_name_matches(&rule, hob_str(q->name));
}

/* The first byte: how long the question is. Behind it the question, then the answer to it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    size_t question_n = data[0] < n - 1 ? data[0] : n - 1;
    uint8_t *question = malloc(question_n + 1),
            *answer = malloc(n - 1 - question_n + 1); /* reading behind is seen */
    HOB_ASSERT(question && answer);
    memcpy(question, data + 1, question_n);
    memcpy(answer, data + 1 + question_n, n - 1 - question_n);
    struct dns_question q;
    unsigned code = DNS_OK;
    if (dns_question_read(question, question_n, &q, &code) && code == DNS_OK) {
        check_question(&q);
        check_answer(&q, answer, n - 1 - question_n);
    }
    free(question);
    free(answer);
    return 0;
}
