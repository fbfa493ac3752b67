/* The HTTP server of api/server with a route answered directly, to be measured beside gateway_floor.
 * Usage: gateway_hello PORT */
#include <stdio.h>
#include <stdlib.h>

#include "api/server/http.h"

#include "base/banned.h"

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    static const struct http_field fields[] = {{{"Content-Type", 12}, {"text/plain", 10}}};
    http_respond(x, 200, fields, HOB_COUNT(fields), HOB_STR("Hello, world\n"));
}

int main(int argc, char **argv)
{
    struct hob_err err;
    struct http_server_options options = {
        .host = "127.0.0.1",
        .port = (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 7172),
        .on_request = on_request,
        .server_name = "hob",
    };
    if (!http_server_start(uv_default_loop(), &options, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
