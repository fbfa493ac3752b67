"""The world outside, for the egress tests: HTTP on ports 80 and 8080 of every address, and a name server on UDP 53.

usage: world.py    prints "ready", ends with its stdin"""
import http.server
import socket
import socketserver
import struct
import sys
import threading

PUBLIC, OTHER, PRIVATE, METADATA = "11.22.33.44", "11.22.33.45", "10.77.0.2", "169.254.169.254"
NAMES = {
    "api.pay.example": [PUBLIC],
    "two.svc.example": [OTHER],
    "db.internal.example": [PRIVATE],
    "loop.example": ["127.0.0.1"],
    "mapped.example": ["127.0.0.1"],
    "meta.example": [METADATA],
    "mixed.example": ["127.0.0.1", PUBLIC],
    "unlisted.example": [PUBLIC],
}
asked = {}


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        body = f"world {self.connection.getsockname()[0]} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512


def addresses_of(name):
    asked[name] = asked.get(name, 0) + 1
    if name == "rebind.example":  # the first answer is harmless, every later one is not
        return [PUBLIC] if asked[name] <= 1 else ["127.0.0.1", METADATA]
    return NAMES.get(name)


def answer(query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
        at += 1 + query[at]
    question = query[12 : at + 5]
    kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
    found = addresses_of(".".join(labels).lower()) if kind == 1 else []
    if ".".join(labels).lower() not in NAMES and ".".join(labels).lower() != "rebind.example":
        return query[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + question
    records = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(a) for a in found or []
    )
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found or []), 0, 0) + question + records


def names():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((PRIVATE, 53))
    while True:
        query, who = sock.recvfrom(2048)
        try:
            sock.sendto(answer(query), who)
        except (IndexError, ValueError, struct.error):
            pass


for port in (80, 8080):
    server = Server(("0.0.0.0", port), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Thread(target=names, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
