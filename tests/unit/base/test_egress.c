/* Egress rules: what hob.json may say, and which addresses are kept closed whatever it says. */
#include "../check.h"

#include <arpa/inet.h>

#include "base/rules/egress.h"
#include "base/mem.h"

static void address_of(const char *text, uint8_t out[HOB_ADDRESS_BYTES])
{
    hob_auto_free char *mapped = strchr(text, ':') ? hob_strdup(text) : hob_asprintf("::ffff:%s", text);
    assert_int_equal(inet_pton(AF_INET6, mapped, out), 1);
}

static void accept_rule(const char *text, struct hob_egress_rule *rule)
{
    struct hob_err err = {0};
    if (hob_egress_rule_parse(hob_str(text), rule, &err) != HOB_OK)
        fail_msg("'%s' was refused: %s", text, err.msg);
}

static void refuse_rule(const char *text, const char *why)
{
    struct hob_egress_rule rule;
    struct hob_err err = {0};
    assert_int_equal(hob_egress_rule_parse(hob_str(text), &rule, &err), HOB_E_INVALID);
    if (!strstr(err.msg, why))
        fail_msg("'%s': '%s' does not say '%s'", text, err.msg, why);
}

static void names_and_wildcards_match_what_they_say(void **state)
{
    (void)state;
    struct hob_egress_rule rule;
    accept_rule("API.pay.Example:443", &rule);
    assert_string_equal(rule.name, "api.pay.example");
    assert_int_equal(rule.port, 443);
    assert_true(hob_egress_name_matches(&rule, HOB_STR("api.PAY.example")));
    assert_false(hob_egress_name_matches(&rule, HOB_STR("x.api.pay.example")));
    assert_false(hob_egress_name_matches(&rule, HOB_STR("pay.example")));
    assert_false(hob_egress_name_matches(&rule, HOB_STR("")));
    accept_rule("*.svc.example:1", &rule);
    assert_true(hob_egress_name_matches(&rule, HOB_STR("a.svc.example")));
    assert_true(hob_egress_name_matches(&rule, HOB_STR("a.b.svc.example")));
    assert_false(hob_egress_name_matches(&rule, HOB_STR("svc.example")));
    assert_false(hob_egress_name_matches(&rule, HOB_STR(".svc.example")));
    assert_false(hob_egress_name_matches(&rule, HOB_STR("evilsvc.example")));
    assert_false(hob_egress_name_matches(&rule, HOB_STR("a.svc.example.evil.example")));
    accept_rule("10.0.0.1:1", &rule);
    assert_false(hob_egress_name_matches(&rule, HOB_STR("10.0.0.1")));
}

static void networks_hold_what_lies_in_them(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *address;
        bool is_in;
    } cases[] = {
        {"203.0.113.7:80", "203.0.113.7", true},       {"203.0.113.7:80", "203.0.113.6", false},
        {"10.1.2.0/24:5432", "10.1.2.255", true},      {"10.1.2.0/24:5432", "10.1.3.0", false},
        {"10.1.2.0/23:5432", "10.1.3.255", true},      {"10.1.2.0/23:1", "10.1.1.255", false},
        {"10.1.2.0/24:5432", "::ffff:10.1.2.9", true}, {"0.0.0.0/0:443", "8.8.8.8", true},
        {"0.0.0.0/0:443", "2001:db8::1", false},       {"[2001:db8::/32]:443", "2001:db8:ffff::1", true},
        {"[2001:db8::/32]:443", "2001:db9::1", false}, {"[2001:db8::7]:443", "2001:db8::7", true},
        {"[2000::/3]:443", "3fff::1", true},           {"[2000::/3]:443", "4000::1", false},
        {"128.0.0.0/1:9", "255.255.255.254", true},    {"128.0.0.0/1:9", "127.255.255.255", false},
    };
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        struct hob_egress_rule rule;
        uint8_t address[HOB_ADDRESS_BYTES];
        accept_rule(cases[i].rule, &rule);
        address_of(cases[i].address, address);
        if (hob_network_has(&rule.network, address) != cases[i].is_in)
            fail_msg("%s and %s", cases[i].rule, cases[i].address);
    }
}

static void wrong_rules_are_refused_with_what_would_be_right(void **state)
{
    (void)state;
    refuse_rule("", "HOST:PORT");
    refuse_rule("api.example", "HOST:PORT");
    refuse_rule(":80", "HOST:PORT");
    refuse_rule("api.example:", "port from 1 to 65535");
    refuse_rule("api.example:0", "port from 1 to 65535");
    refuse_rule("api.example:65536", "port from 1 to 65535");
    refuse_rule("api.example:http", "port from 1 to 65535");
    refuse_rule("api.example:+80", "port from 1 to 65535");
    refuse_rule("http://api.example:80", "in brackets");
    refuse_rule("api..example:80", "no name");
    refuse_rule("-api.example:80", "no name");
    refuse_rule("api.example.:80", "no name");
    refuse_rule("*:80", "no name");
    refuse_rule("*.example:80", "two labels");
    refuse_rule("a.*.example:80", "no name");
    refuse_rule("2130706433:80", "four decimal numbers");
    refuse_rule("0x7f.1:80", "four decimal numbers");
    refuse_rule("0177.0.0.1:80", "four decimal numbers");
    refuse_rule("10.1.2.3/24:80", "behind the network's length");
    refuse_rule("10.1.2.0/33:80", "0 to 32 bits");
    refuse_rule("10.1.2.0/:80", "0 to 32 bits");
    refuse_rule("example/8:80", "no address");
    refuse_rule("2001:db8::1:443", "in brackets");
    refuse_rule("[2001:db8::1/16]:443", "behind the network's length");
    refuse_rule("[2001:db8::/129]:443", "0 to 128 bits");
    refuse_rule("[::ffff:10.0.0.1]:443", "without \"::ffff:\"");
    refuse_rule("[x]:443", "no IPv6 address");
    refuse_rule("api.example\n:80", "byte 12");
    refuse_rule("\xc3\xa4.example:80", "byte 1");
    char longest[300];
    memset(longest, 'a', sizeof longest);
    memcpy(longest + 254, ":80", 4);
    refuse_rule(longest, "HOST:PORT");
}

static void loopback_and_multicast_are_refused_at_once(void **state)
{
    (void)state;
    refuse_rule("127.0.0.1:80", "a loopback address");
    refuse_rule("127.0.0.0/8:80", "a loopback address");
    refuse_rule("0.0.0.0:80", "no address of a host");
    refuse_rule("224.0.0.1:80", "a multicast address");
    refuse_rule("255.255.255.255:80", "the broadcast address");
    refuse_rule("[::1]:80", "a loopback address");
    refuse_rule("[::]:80", "no address of a host");
    refuse_rule("[ff02::1]:80", "a multicast address");
}

static void ranges_that_are_kept_closed_are_known(void **state)
{
    (void)state;
    static const char *const closed[] = {"0.0.0.0",
                                         "0.1.2.3",
                                         "127.0.0.1",
                                         "127.255.255.255",
                                         "10.0.0.0",
                                         "10.255.255.255",
                                         "172.16.0.0",
                                         "172.31.255.255",
                                         "192.168.0.1",
                                         "169.254.169.254",
                                         "100.64.0.1",
                                         "100.100.100.200",
                                         "168.63.129.16",
                                         "192.0.0.1",
                                         "192.0.2.1",
                                         "198.18.0.1",
                                         "198.19.255.255",
                                         "198.51.100.1",
                                         "203.0.113.1",
                                         "224.0.0.1",
                                         "239.255.255.255",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "::ffff:127.0.0.1",
                                         "::127.0.0.1",
                                         "64:ff9b::7f00:1",
                                         "64:ff9b:1::1",
                                         "2002:7f00:1::1",
                                         "2001::1",
                                         "2001:db8::1",
                                         "fc00::1",
                                         "fd00:ec2::254",
                                         "fe80::1",
                                         "febf::1",
                                         "fec0::1",
                                         "ff02::1",
                                         "4000::1",
                                         "1000::1"};
    static const char *const open[] = {"1.1.1.1",      "9.255.255.255",   "11.0.0.0",    "172.15.255.255",
                                       "172.32.0.0",   "192.167.1.1",     "192.169.0.1", "169.253.1.1",
                                       "169.255.0.1",  "100.63.255.255",  "100.128.0.0", "198.17.255.255",
                                       "198.20.0.0",   "126.255.255.255", "128.0.0.0",   "223.255.255.255",
                                       "2606:4700::1", "2a00::1",         "2001:200::1", "2003::1"};
    uint8_t address[HOB_ADDRESS_BYTES];
    for (size_t i = 0; i < HOB_COUNT(closed); i++) {
        address_of(closed[i], address);
        if (!hob_address_range(address))
            fail_msg("%s is taken for a public address", closed[i]);
    }
    for (size_t i = 0; i < HOB_COUNT(open); i++) {
        address_of(open[i], address);
        if (hob_address_range(address))
            fail_msg("%s is taken for %s", open[i], hob_address_range(address)->what);
    }
}

static void addresses_are_shown_as_people_write_them(void **state)
{
    (void)state;
    uint8_t address[HOB_ADDRESS_BYTES];
    char text[HOB_ADDRESS_TEXT];
    address_of("::ffff:1.2.3.4", address);
    hob_address_text(address, text);
    assert_string_equal(text, "1.2.3.4");
    address_of("2001:DB8:0::1", address);
    hob_address_text(address, text);
    assert_string_equal(text, "2001:db8::1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_wildcards_match_what_they_say),
        cmocka_unit_test(networks_hold_what_lies_in_them),
        cmocka_unit_test(wrong_rules_are_refused_with_what_would_be_right),
        cmocka_unit_test(loopback_and_multicast_are_refused_at_once),
        cmocka_unit_test(ranges_that_are_kept_closed_are_known),
        cmocka_unit_test(addresses_are_shown_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
