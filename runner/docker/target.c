#include <stdlib.h>

#include "base/mem.h"
#include "runner/docker/api.h"

#include "base/banned.h"

static bool is_loopback(struct hob_str authority)
{
    return hob_str_starts(authority, HOB_STR("127.")) || hob_str_starts(authority, HOB_STR("[::1]")) ||
           hob_str_starts(authority, HOB_STR("localhost:"));
}

enum hob_code docker_target_parse(struct docker_target *ret_target, const char *host, const char *cert_dir,
                                  struct hob_err *err)
{
    static const struct hob_str unix_scheme = {"unix://", 7}, tcp_scheme = {"tcp://", 6};
    struct hob_str s = hob_str(host);
    *ret_target = (struct docker_target){0};
    if (hob_str_starts(s, unix_scheme) && s.n > unix_scheme.n && host[unix_scheme.n] == '/') {
        ret_target->socket_path = hob_strdup(host + unix_scheme.n);
        ret_target->base_url = hob_strdup("http://docker");
        return HOB_OK;
    }
    if (host[0] == '/') {
        ret_target->socket_path = hob_strdup(host);
        ret_target->base_url = hob_strdup("http://docker");
        return HOB_OK;
    }
    struct hob_str authority = hob_str_n(host + tcp_scheme.n, s.n > tcp_scheme.n ? s.n - tcp_scheme.n : 0);
    if (!hob_str_starts(s, tcp_scheme) || authority.n == 0 || memchr(authority.at, '/', authority.n) ||
        memchr(authority.at, '@', authority.n) || memchr(authority.at, ' ', authority.n))
        return hob_fail(err, HOB_E_INVALID,
                        "Docker host '%.100s': give unix:///var/run/docker.sock or tcp://HOST:PORT", host);
    if (!cert_dir && !is_loopback(authority))
        return hob_fail(
            err, HOB_E_INVALID,
            "Docker host '%.100s': TCP needs TLS; give a folder with ca.pem, cert.pem and key.pem in "
            "HOB_DOCKER_CERT_PATH",
            host);
    ret_target->base_url = hob_asprintf("%s://%.*s", cert_dir ? "https" : "http", HOB_STR_ARG(authority));
    ret_target->cert_dir = cert_dir ? hob_strdup(cert_dir) : NULL;
    return HOB_OK;
}

void docker_target_done(struct docker_target *t)
{
    free(t->socket_path);
    free(t->base_url);
    free(t->cert_dir);
    *t = (struct docker_target){0};
}
