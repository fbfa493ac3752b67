/* The floor: a one-thread hello server on nothing but libuv and llhttp, with keep-alive. The gateway's requests per
 * second are stated as a ratio to this one's, measured in the same run. Usage: gateway_floor PORT */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Date: Fri, 20 Nov 2026 05:22:00 GMT\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 13\r\n"
                             "\r\n"
                             "Hello, world\n";

struct client {
    uv_tcp_t tcp;
    llhttp_t parser;
    char in[65536];
};

static llhttp_settings_t settings;

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int on_message_complete(llhttp_t *p)
{
    struct client *c = p->data;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)answer, sizeof answer - 1);
    return uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) == (int)sizeof answer - 1 ? 0 : -1;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->in, sizeof c->in);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    if (n < 0 || (n > 0 && llhttp_execute(&c->parser, buf->base, (size_t)n) != HPE_OK))
        uv_close((uv_handle_t *)stream, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status < 0)
        return;
    struct client *c = calloc(1, sizeof *c);
    if (!c || uv_tcp_init(listener->loop, &c->tcp) != 0)
        abort();
    c->tcp.data = c;
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || uv_tcp_nodelay(&c->tcp, 1) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

int main(int argc, char **argv)
{
    uv_tcp_t listener;
    struct sockaddr_in address;
    int port = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 7171;
    llhttp_settings_init(&settings);
    settings.on_message_complete = on_message_complete;
    if (uv_tcp_init(uv_default_loop(), &listener) != 0 || uv_ip4_addr("127.0.0.1", port, &address) != 0 ||
        uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&listener, 1024, on_connection) != 0) {
        fprintf(stderr, "cannot listen on 127.0.0.1:%d\n", port);
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
