#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cli/client.h"

#include "base/banned.h"

#define LOCAL_URL "http://127.0.0.1:7070"

enum { TOKEN_BYTES_MAX = 4096, FOLDERS_UP_MAX = 16 };

/* The part between "://" and the path, without user names. */
static struct hob_str url_host(const char *url)
{
    const char *at = strstr(url, "://");
    struct hob_str rest, s = hob_str(at ? at + 3 : url);
    s = hob_str_cut(s, '/', &rest);
    const char *sign = memchr(s.at, '@', s.n);
    if (sign)
        s = hob_str_n(sign + 1, s.n - (size_t)(sign + 1 - s.at));
    if (s.n && s.at[0] == '[') {
        const char *end = memchr(s.at, ']', s.n);
        return end ? hob_str_n(s.at + 1, (size_t)(end - s.at) - 1) : s;
    }
    return hob_str_cut(s, ':', &rest);
}

/* 127.0.0.0/8 by digits only: "127.evil.example" is a name. */
static bool is_loopback_4(struct hob_str host)
{
    unsigned dots = 0;
    for (size_t i = 0; i < host.n; i++) {
        if (host.at[i] == '.')
            dots++;
        else if (!isdigit((unsigned char)host.at[i]))
            return false;
    }
    return dots == 3 && hob_str_starts(host, HOB_STR("127."));
}

bool url_is_loopback(const char *url)
{
    struct hob_str host = url_host(url);
    return hob_str_ieq(host, HOB_STR("localhost")) || hob_str_is(host, "::1") || is_loopback_4(host);
}

static bool token_is_valid(struct hob_str token)
{
    for (size_t i = 0; i < token.n; i++)
        if (token.at[i] <= 0x20 || token.at[i] >= 0x7f)
            return false;
    return token.n > 0;
}

static void token_add(struct access *a, const char *token, const char *source)
{
    if (a->tokens_n == TOKENS_MAX)
        return;
    for (size_t i = 0; i < a->tokens_n; i++)
        if (strcmp(a->tokens[i], token) == 0)
            return;
    a->sources[a->tokens_n] = hob_strdup(source);
    a->tokens[a->tokens_n++] = hob_strdup(token);
}

/* Homes that are missing or not ours to read are passed over. */
static void token_of_home(struct access *a, const char *home)
{
    hob_auto_free char *path = hob_asprintf("%s/admin.token", home);
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, TOKEN_BYTES_MAX);
    struct hob_err ignored;
    if (hob_read_file(path, &b, &ignored) != HOB_OK)
        return;
    while (b.n && isspace((unsigned char)hob_buf_data(&b)[b.n - 1]))
        b.n--;
    if (!token_is_valid(hob_buf_str(&b)))
        return;
    hob_auto_free char *token = hob_buf_take(&b);
    token_add(a, token, path);
}

static void tokens_of_local_homes(struct access *a)
{
    const char *home = hob_env("HOB_HOME");
    if (home) {
        token_of_home(a, home);
        return;
    }
    /* the checkout's own daemon (make run), from any folder below it */
    hob_auto_free char *cwd = getcwd(NULL, 0);
    for (int up = 0; cwd && up < FOLDERS_UP_MAX; up++) {
        hob_auto_free char *near = hob_asprintf("%s/.hob", cwd);
        token_of_home(a, near);
        char *slash = strrchr(cwd, '/');
        if (!slash || slash == cwd)
            break;
        *slash = 0;
    }
    const char *user = hob_env("HOME");
    if (user) {
        hob_auto_free char *share = hob_asprintf("%s/.local/share/hob", user);
        token_of_home(a, share);
    }
    token_of_home(a, "/var/lib/hob");
}

static enum hob_code url_judge(const char *url, struct hob_err *err)
{
    bool is_http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    bool is_clean = true;
    for (const char *c = url; *c; c++)
        is_clean = is_clean && *c > 0x20 && *c < 0x7f && *c != '?' && *c != '#';
    if (is_http && is_clean && url_host(url).n > 0)
        return HOB_OK;
    return hob_fail_reason(err, HOB_E_INVALID, "bad_url",
                           "server address '%.80s': give one as http://127.0.0.1:7070 or https://hob.example",
                           url);
}

enum hob_code access_find(const struct cli *c, struct access *ret_access, struct hob_err *err)
{
    struct access a = {0};
    const char *url = c->url ? c->url : hob_env("HOB_URL");
    url = url && *url ? url : LOCAL_URL;
    if (url_judge(url, err) != HOB_OK)
        return err->code;
    const char *token = c->token ? c->token : hob_env("HOB_TOKEN");
    if (token && *token && !token_is_valid(hob_str(token)))
        return hob_fail(
            err, HOB_E_INVALID,
            "the token contains spaces or control characters; give it as it stands in admin.token");
    a.url = hob_strdup(url);
    for (size_t n = strlen(a.url); n && a.url[n - 1] == '/'; n--)
        a.url[n - 1] = 0;
    a.is_loopback = url_is_loopback(url);
    if (token && *token)
        token_add(&a, token, c->token ? "--token" : "HOB_TOKEN");
    else if (a.is_loopback) /* a local daemon's token never leaves the machine */
        tokens_of_local_homes(&a);
    *ret_access = a;
    return HOB_OK;
}

void access_done(struct access *a)
{
    free(a->url);
    for (size_t i = 0; i < a->tokens_n; i++) {
        free(a->tokens[i]);
        free(a->sources[i]);
    }
    *a = (struct access){0};
}
