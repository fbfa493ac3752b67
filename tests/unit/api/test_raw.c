/* The cases of tests/raw: raw bytes in, status codes, connection and texts out. Each case is delivered whole, byte by
 * byte, and cut at random places several times; the answers must be the same. */
#include "raw_client.h"

#include <dirent.h>

#include "base/fs.h"
#include "describe.h"

enum { PARTS_MAX = 8, RANDOM_CUTS = 3, BYTEWISE_MAX = 3000 };

struct raw_case {
    char name[200];
    struct hob_buf bytes;
    char statuses[256]; /* "200+400"; '*' behind one: an answer to HEAD */
    bool is_closed;
    char *has[PARTS_MAX], *lacks[PARTS_MAX];
    size_t has_n, lacks_n;
};

/* --- the files' format: see tests/raw/README.md ------------------------------------------------------------------ */

static void add_unescaped(struct hob_buf *out, const char *in)
{
    while (*in) {
        char c = *in++;
        if (c == '\\' && *in == 'R') { /* \R{count|text} */
            char *text;
            unsigned long count = strtoul(in + 2, &text, 10);
            const char *end = strchr(text, '}');
            assert_true(*text == '|' && end);
            hob_auto_free char *piece = hob_strndup(text + 1, (size_t)(end - text - 1));
            while (count--)
                add_unescaped(out, piece);
            in = end + 1;
            continue;
        }
        if (c == '\\') {
            char hex[3] = {0};
            char kind = *in++;
            if (kind == 'x') {
                memcpy(hex, in, 2);
                in += 2;
            }
            c = kind == 'r'   ? '\r'
                : kind == 'n' ? '\n'
                : kind == 't' ? '\t'
                : kind == '0' ? '\0'
                : kind == 'x' ? (char)strtol(hex, NULL, 16)
                              : kind;
        }
        assert_int_equal(hob_buf_add(out, &c, 1), HOB_OK);
    }
}

static char *unescaped(const char *text)
{
    hob_auto_buf struct hob_buf b = {0};
    hob_buf_init(&b, 1 << 20);
    add_unescaped(&b, text);
    return hob_buf_take(&b);
}

static void add_line(struct raw_case *k, const char *line)
{
    char end[16];
    if (line[0] == '>' && line[1] == ' ') {
        add_unescaped(&k->bytes, line + 2);
    } else if (strncmp(line, "<~ ", 3) == 0) {
        assert_true(k->has_n < PARTS_MAX);
        k->has[k->has_n++] = unescaped(line + 3);
    } else if (strncmp(line, "<! ", 3) == 0) {
        assert_true(k->lacks_n < PARTS_MAX);
        k->lacks[k->lacks_n++] = unescaped(line + 3);
    } else if (line[0] == '<') {
        assert_int_equal(sscanf(line, "< %255s %15s", k->statuses, end), 2);
        k->is_closed = strcmp(end, "close") == 0;
        assert_true(k->is_closed || strcmp(end, "open") == 0);
    } else if (line[0]) {
        fail_msg("a line of '%s' that is no > or <: %s", k->name, line);
    }
}

static unsigned wrong_n;

/* All cases are run before the test fails. */
#define wrong(...)                                                                                           \
    do {                                                                                                     \
        wrong_n++;                                                                                           \
        print_error(__VA_ARGS__);                                                                            \
        print_error("\n");                                                                                   \
        return;                                                                                              \
    } while (0)

/* --- running one ------------------------------------------------------------------------------------------------- */

/* What differs from run to run is made equal. */
static void mask(struct hob_buf *got)
{
    static const char *const starts[] = {"\r\nDate: ", "\r\nX-Request-Id: ", "\"request_id\":\"",
                                         "traceparent=00-"};
    static const size_t lengths[] = {29, 36, 36, 52};
    char *at = hob_buf_data(got);
    for (size_t i = 0; got->n && i < HOB_COUNT(starts); i++)
        for (char *hit = at;
             (hit = memmem(hit, got->n - (size_t)(hit - at), starts[i], strlen(starts[i])));) {
            hit += strlen(starts[i]);
            if ((size_t)(hit - at) + lengths[i] <= got->n)
                memset(hit, 'x', lengths[i]);
        }
}

enum delivery { WHOLE, BYTEWISE, RANDOM };

static void deliver(struct raw *raw, struct hob_str bytes, enum delivery how)
{
    while (bytes.n && !raw->is_ended) {
        size_t n = how == WHOLE ? bytes.n : how == BYTEWISE ? 1 : 1 + (size_t)random() % bytes.n;
        raw_send(raw, bytes.at, n);
        bytes.at += n;
        bytes.n -= n;
    }
    raw_settle(raw);
}

static void judge(const struct raw_case *k, const struct raw *raw)
{
    struct hob_str in = hob_buf_str(&raw->got);
    const char *expected = k->statuses;
    while (*expected && *expected != '-') {
        struct answer a;
        char *next;
        long status = strtol(expected, &next, 10);
        bool is_bodiless = *next == '*';
        if (!answer_next(&in, is_bodiless, &a) || a.status != status)
            wrong("%s: wanted %s, got: %.*s", k->name, k->statuses, HOB_STR_ARG(hob_buf_str(&raw->got)));
        expected = next + is_bodiless;
        expected += *expected == '+';
        if (!*expected && a.is_closing != k->is_closed && a.status >= 200 && !raw->is_ended)
            wrong("%s: the last answer's Connection field", k->name);
    }
    if (in.n)
        wrong("%s: more came than %s: %.*s", k->name, k->statuses, HOB_STR_ARG(in));
    if (raw->is_ended != k->is_closed)
        wrong("%s: the connection must be %s", k->name, k->is_closed ? "closed" : "open");
    for (size_t i = 0; i < k->has_n; i++)
        if (!raw_has(raw, k->has[i]))
            wrong("%s: '%s' is missing in: %.*s", k->name, k->has[i], HOB_STR_ARG(hob_buf_str(&raw->got)));
    for (size_t i = 0; i < k->lacks_n; i++)
        if (raw_has(raw, k->lacks[i]))
            wrong("%s: '%s' must not stand in: %.*s", k->name, k->lacks[i],
                  HOB_STR_ARG(hob_buf_str(&raw->got)));
}

static void run_case(struct bed *bed, const struct raw_case *k)
{
    struct raw first, again;
    raw_connect(&first, bed);
    deliver(&first, hob_buf_str(&k->bytes), WHOLE);
    judge(k, &first);
    mask(&first.got);
    for (int i = 0; i <= RANDOM_CUTS; i++) {
        if (i == 0 && k->bytes.n > BYTEWISE_MAX)
            continue;
        raw_connect(&again, bed);
        deliver(&again, hob_buf_str(&k->bytes), i == 0 ? BYTEWISE : RANDOM);
        judge(k, &again);
        mask(&again.got);
        if (!hob_str_eq(hob_buf_str(&first.got), hob_buf_str(&again.got)))
            wrong("%s: another answer when cut up: %.*s", k->name, HOB_STR_ARG(hob_buf_str(&again.got)));
        raw_close(&again);
    }
    raw_close(&first);
}

static void done_case(struct raw_case *k)
{
    hob_buf_done(&k->bytes);
    for (size_t i = 0; i < k->has_n; i++)
        free(k->has[i]);
    for (size_t i = 0; i < k->lacks_n; i++)
        free(k->lacks[i]);
}

static unsigned run_file(struct bed *bed, const char *path)
{
    struct raw_case k = {0};
    unsigned count = 0;
    char line[4096];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    for (bool is_more = true; is_more;) {
        is_more = fgets(line, sizeof line, file) != NULL;
        if (is_more)
            line[strcspn(line, "\n")] = '\0';
        if (is_more && line[0] == '#')
            continue;
        if (!is_more || strncmp(line, "== ", 3) == 0) {
            if (k.name[0]) {
                run_case(bed, &k);
                count++;
            }
            done_case(&k);
            k = (struct raw_case){0};
            hob_buf_init(&k.bytes, 1 << 20);
            (void)snprintf(k.name, sizeof k.name, "%.190s", is_more ? line + 3 : "");
            continue;
        }
        add_line(&k, line);
    }
    (void)fclose(file);
    return count;
}

static void raw_requests_get_the_answers_their_files_state(void **state)
{
    (void)state;
    struct bed bed;
    struct http_tuning tuning = http_tuning_default();
    unsigned count = 0;
    DIR *folder = opendir("tests/raw");
    assert_non_null(folder);
    srandom(7);
    bed_open(&bed, &tuning, describe_request, NULL);
    for (struct dirent *e; (e = readdir(folder));) {
        char path[512];
        size_t n = strlen(e->d_name);
        if (n < 4 || strcmp(e->d_name + n - 4, ".txt") != 0)
            continue;
        (void)snprintf(path, sizeof path, "tests/raw/%s", e->d_name);
        count += run_file(&bed, path);
    }
    (void)closedir(folder);
    bed_close(&bed);
    printf("%u raw cases\n", count);
    assert_int_equal(wrong_n, 0);
    assert_true(count >= 120);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {cmocka_unit_test(raw_requests_get_the_answers_their_files_state)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
