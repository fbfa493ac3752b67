/* What decides over egress, without a network: the policy with its pins, and the DNS messages. */
#include "../check.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "runner/egress/dns.h"
#include "runner/egress/policy.h"

static struct policy *policy_of(const char *const *rules)
{
    struct policy *p = policy_new();
    struct hob_err err = {0};
    for (; *rules; rules++)
        assert_int_equal(policy_add(p, hob_str(*rules), &err), HOB_OK);
    return p;
}
#define RULES(...) ((const char *const[]){__VA_ARGS__, NULL})

static const uint8_t *address_of(const char *text)
{
    static uint8_t out[HOB_ADDRESS_BYTES];
    hob_auto_free char *mapped = strchr(text, ':') ? hob_strdup(text) : hob_asprintf("::ffff:%s", text);
    assert_int_equal(inet_pton(AF_INET6, mapped, out), 1);
    return out;
}

static bool allows(const struct policy *p, const char *address, uint16_t port, uint64_t now_ms)
{
    return policy_refuses(p, address_of(address), port, now_ms) == NULL;
}

static void without_rules_nothing_is_allowed(void **state)
{
    (void)state;
    struct policy *p = policy_new();
    assert_false(policy_has_rules(p));
    assert_false(allows(p, "1.1.1.1", 443, 0));
    assert_false(policy_lists_name(p, HOB_STR("a.example")));
    policy_free(p);
}

static void a_wide_network_is_the_internet_and_no_closed_range(void **state)
{
    (void)state;
    struct policy *p =
        policy_of(RULES("0.0.0.0/0:443", "[::/0]:443", "10.1.0.0/16:443", "169.254.169.254:443"));
    assert_true(allows(p, "1.1.1.1", 443, 0));
    assert_false(allows(p, "1.1.1.1", 444, 0));
    assert_true(allows(p, "2606:4700::1", 443, 0));
    assert_true(allows(p, "10.1.2.3", 443, 0));        /* listed within its range */
    assert_true(allows(p, "169.254.169.254", 443, 0)); /* the same */
    assert_true(allows(p, "::ffff:10.1.2.3", 443, 0));
    static const char *const closed[] = {
        "10.2.0.1", "192.168.1.1", "127.0.0.1",      "0.0.0.0",          "::1",        "::", "fd00::1",
        "fe80::1",  "224.0.0.1",   "64:ff9b::a00:1", "::ffff:127.0.0.1", "169.254.1.1"};
    for (size_t i = 0; i < HOB_COUNT(closed); i++)
        if (allows(p, closed[i], 443, 0))
            fail_msg("%s is allowed", closed[i]);
    policy_free(p);
}

static void a_network_wider_than_a_closed_range_does_not_open_it(void **state)
{
    (void)state;
    struct policy *p = policy_of(RULES("10.0.0.0/7:80", "126.0.0.0/7:80", "192.168.0.0/16:80"));
    assert_false(allows(p, "10.0.0.1", 80, 0));
    assert_true(allows(p, "11.0.0.1", 80, 0));
    assert_false(allows(p, "127.0.0.1", 80, 0));
    assert_true(allows(p, "192.168.255.255", 80, 0)); /* exactly the range */
    policy_free(p);
}

static void a_name_allows_what_it_resolved_to_for_its_port_and_its_time(void **state)
{
    (void)state;
    struct policy *p = policy_of(RULES("api.example:443", "*.svc.example:80"));
    assert_false(allows(p, "1.1.1.1", 443, 0));
    policy_pin(p, HOB_STR("API.example"), address_of("1.1.1.1"), 600, 1000);
    assert_true(allows(p, "1.1.1.1", 443, 1000));
    assert_false(allows(p, "1.1.1.1", 80, 1000));
    assert_false(allows(p, "1.1.1.2", 443, 1000));
    assert_true(allows(p, "1.1.1.1", 443, 601000));
    assert_false(allows(p, "1.1.1.1", 443, 601001));
    policy_pin(p, HOB_STR("a.svc.example"), address_of("2.2.2.2"), 0, 1000); /* a TTL of 0 lasts a moment */
    assert_true(allows(p, "2.2.2.2", 80, 2000));
    policy_pin(p, HOB_STR("api.example"), address_of("2.2.2.2"), 600,
               2000); /* and one address has two names */
    assert_true(allows(p, "2.2.2.2", 80, 3000) && allows(p, "2.2.2.2", 443, 3000));
    policy_pin(p, HOB_STR("other.example"), address_of("3.3.3.3"), 600, 1000);
    assert_false(allows(p, "3.3.3.3", 443, 1000));
    policy_free(p);
}

static void a_pin_never_opens_a_closed_range(void **state)
{
    (void)state;
    struct policy *p = policy_of(RULES("api.example:80", "10.1.0.0/16:81"));
    static const char *const closed[] = {"127.0.0.1", "10.1.0.1", "169.254.169.254", "::1", "fd00::1"};
    for (size_t i = 0; i < HOB_COUNT(closed); i++) {
        policy_pin(p, HOB_STR("api.example"), address_of(closed[i]), 600, 1000);
        assert_false(allows(p, closed[i], 80, 1000));
    }
    assert_null(policy_refuses_answer(p, address_of("10.1.0.1"))); /* told, since some rule opens it */
    assert_non_null(policy_refuses_answer(p, address_of("10.2.0.1")));
    assert_non_null(policy_refuses_answer(p, address_of("127.0.0.1")));
    assert_null(policy_refuses_answer(p, address_of("1.1.1.1")));
    policy_free(p);
}

static void pins_and_rules_are_bounded(void **state)
{
    (void)state;
    struct policy *p = policy_of(RULES("api.example:80"));
    struct hob_err err = {0};
    for (unsigned i = 0; i < 3 * POLICY_PINS_MAX; i++) {
        hob_auto_free char *text = hob_asprintf("1.1.%u.%u", i / 256, i % 256);
        policy_pin(p, HOB_STR("api.example"), address_of(text), 600, 1000 + i);
    }
    assert_false(allows(p, "1.1.0.0", 80, 2000)); /* the oldest went */
    assert_true(allows(p, "1.1.2.255", 80, 2000));
    for (unsigned i = 1; i < POLICY_RULES_MAX; i++)
        assert_int_equal(policy_add(p, HOB_STR("a.example:1"), &err), HOB_OK);
    assert_int_equal(policy_add(p, HOB_STR("a.example:1"), &err), HOB_E_TOO_LARGE);
    assert_int_equal(POLICY_RULES_MAX, HOB_MAX_EGRESS_RULES);
    policy_free(p);
}

/* --- DNS --------------------------------------------------------------------------------------------------------- */
static const uint8_t question[] = {0x12, 0x34, 1,   0,   0,   1,   0,   0,   0,   0, 0, 0, 3, 'a', 'P',
                                   'i',  7,    'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1};

static void a_question_is_read_and_asked_again(void **state)
{
    (void)state;
    struct dns_question q, again;
    unsigned code = 99;
    uint8_t msg[DNS_ANSWER_BYTES_MAX];
    assert_true(dns_question_read(question, sizeof question, &q, &code));
    assert_int_equal(code, DNS_OK);
    assert_string_equal(q.name, "aPi.example");
    assert_int_equal(q.type, DNS_A);
    size_t n = dns_question_write(0x7777, &q, msg);
    assert_true(dns_question_read(msg, n, &again, &code));
    assert_int_equal(again.id, 0x7777);
    assert_string_equal(again.name, q.name);
}

static void an_answer_comes_back_as_it_was_written(void **state)
{
    (void)state;
    struct dns_question q;
    struct dns_result r = {.ttl_s = 77, .n = 2}, back;
    unsigned code;
    uint8_t msg[DNS_ANSWER_BYTES_MAX];
    assert_true(dns_question_read(question, sizeof question, &q, &code));
    memcpy(r.addresses[0], address_of("1.2.3.4"), HOB_ADDRESS_BYTES);
    memcpy(r.addresses[1], address_of("5.6.7.8"), HOB_ADDRESS_BYTES);
    size_t n = dns_answer_write(&q, &r, msg);
    assert_true(dns_answer_read(msg, n, q.id, &q, &back));
    assert_int_equal(back.n, 2);
    assert_int_equal(back.ttl_s, 77);
    assert_memory_equal(back.addresses, r.addresses, 2 * HOB_ADDRESS_BYTES);
    assert_false(dns_answer_read(msg, n, (uint16_t)(q.id + 1), &q, &back));
    q.wire[1] = 'b';
    assert_false(dns_answer_read(msg, n, q.id, &q, &back));
    for (size_t cut = 0; cut < n; cut++) /* never more than was there */
        if (dns_answer_read(msg, cut, q.id, &q, &back))
            assert_true(back.n <= 2);
}

static void a_full_answer_stays_within_a_datagram(void **state)
{
    (void)state;
    uint8_t longest[300] = {0, 1, 1, 0, 0, 1}, msg[DNS_ANSWER_BYTES_MAX];
    size_t at = 12;
    struct dns_question q;
    struct dns_result r = {.ttl_s = 1, .n = DNS_ADDRESSES_MAX}, back;
    unsigned code;
    for (int label = 0; label < 4; label++) {
        unsigned n = label < 3 ? 62 : 61;
        longest[at++] = (uint8_t)n;
        memset(longest + at, 'a' + label, n);
        at += n;
    }
    longest[at++] = 0;
    longest[at + 1] = DNS_AAAA;
    longest[at + 3] = 1;
    assert_true(dns_question_read(longest, at + 4, &q, &code));
    assert_int_equal(code, DNS_OK);
    size_t n = dns_answer_write(&q, &r, msg);
    assert_true(n <= sizeof msg);
    assert_true(dns_answer_read(msg, n, q.id, &q, &back));
    assert_true(back.n >= 8);
}

static void answers_with_wrong_records_give_only_the_right_ones(void **state)
{
    (void)state;
    struct dns_question q;
    struct dns_result r;
    unsigned code;
    uint8_t msg[512] = {0x12, 0x34, 0x81, 0x80, 0, 1, 0, 3};
    size_t at = sizeof question;
    static const uint8_t records[] = {0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12, /* CNAME, to itself */
                                      0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 3, 1,    2,  3, /* A of 3 bytes */
                                      0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 7, 0, 4, 9,    9,  9, 9}; /* right */
    assert_true(dns_question_read(question, sizeof question, &q, &code));
    memcpy(msg + 12, question + 12, sizeof question - 12);
    memcpy(msg + at, records, sizeof records);
    assert_true(dns_answer_read(msg, at + sizeof records, q.id, &q, &r));
    assert_int_equal(r.n, 1);
    assert_int_equal(r.ttl_s, 7);
    assert_memory_equal(r.addresses[0], address_of("9.9.9.9"), HOB_ADDRESS_BYTES);
}

static void hostile_messages_are_survived(void **state)
{
    (void)state;
    struct dns_question q, asked;
    struct dns_result r;
    unsigned code, seed = 11;
    assert_true(dns_question_read(question, sizeof question, &asked, &code));
    uint8_t msg[600], out[DNS_ANSWER_BYTES_MAX];
    for (int i = 0; i < 300000; i++) {
        size_t n = (size_t)rand_r(&seed) % sizeof msg;
        for (size_t k = 0; k < n; k++)
            msg[k] = (uint8_t)(rand_r(&seed) % 7 ? rand_r(&seed) % 8 : rand_r(&seed));
        if (i % 2 && n >= sizeof question)
            memcpy(msg, question, sizeof question);
        if (i % 4 == 3 && n > 2)
            msg[2] = 0x81;
        if (dns_question_read(msg, n, &q, &code))
            assert_true(dns_answer_write(&q, &(struct dns_result){.code = code}, out) <= sizeof out);
        if (dns_answer_read(msg, n, 0x1234, &asked, &r))
            assert_true(r.n <= DNS_ADDRESSES_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_nothing_is_allowed),
        cmocka_unit_test(a_wide_network_is_the_internet_and_no_closed_range),
        cmocka_unit_test(a_network_wider_than_a_closed_range_does_not_open_it),
        cmocka_unit_test(a_name_allows_what_it_resolved_to_for_its_port_and_its_time),
        cmocka_unit_test(a_pin_never_opens_a_closed_range),
        cmocka_unit_test(pins_and_rules_are_bounded),
        cmocka_unit_test(a_question_is_read_and_asked_again),
        cmocka_unit_test(an_answer_comes_back_as_it_was_written),
        cmocka_unit_test(a_full_answer_stays_within_a_datagram),
        cmocka_unit_test(answers_with_wrong_records_give_only_the_right_ones),
        cmocka_unit_test(hostile_messages_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
