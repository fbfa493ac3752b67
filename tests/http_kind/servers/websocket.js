// An Express app with WebSockets by the library ws, and a few rougher protocols behind Upgrade: raw/NAME.
const express = require("express");
const { WebSocketServer } = require("ws");

const app = express();
const deaf = [];
const seen = { open: 0, closed: [], bytes: 0, ended: 0, errors: [] };
app.get("/", (req, res) => res.send("hello"));
app.get("/seen", (req, res) => res.json(seen));
app.get("/listen", (req, res) => { for (const s of deaf.splice(0)) s.on("end", () => s.end()).resume(); res.send("ok"); });
app.get("/headers", (req, res) => res.json(req.headers));
app.get("/slow", (req, res) => setTimeout(() => res.send("late"), Number(req.query.ms)));

const server = app.listen(process.env.PORT);
server.on("connection", (socket) => socket.setNoDelay(true));
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true, maxPayload: 64 << 20 });
sockets.on("connection", (socket, request) => {
  seen.open++;
  socket.on("error", (error) => seen.errors.push(error.code ?? error.message));
  socket.on("close", (code) => { seen.open--; seen.closed.push(code); });
  socket.on("message", (data, isBinary) => {
    if (String(data.subarray(0, 5)) === "close") socket.close(4001, "as you wish");
    else if (String(data.subarray(0, 4)) === "path") socket.send(request.url);
    else socket.send(data, { binary: isBinary });
  });
});

const accept = (socket, protocol, more = "") =>
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${protocol}\r\nConnection: Upgrade\r\nX-Mine: yes\r\n\r\n${more}`);
const raw = {
  echo: (socket, head) => { accept(socket, "raw"); if (head.length) socket.write(head); socket.pipe(socket); },
  /** Ends its direction at once, and reads on. */
  first: (socket) => {
    accept(socket, "raw", "all I say");
    socket.end();
    socket.on("data", (d) => { seen.bytes += d.length; }).on("end", () => { seen.ended++; });
  },
  /** Reads to the end, then says how much it was. */
  last: (socket, head) => {
    let n = head.length;
    accept(socket, "raw");
    socket.on("data", (d) => { n += d.length; }).on("end", () => socket.end(`got ${n}`));
  },
  /** As much as anybody takes; says how much that was when the client is gone. */
  source: (socket) => {
    const block = Buffer.alloc(65536, 0x61);
    accept(socket, "raw");
    seen.bytes = 0;
    const more = () => { do seen.bytes += block.length; while (socket.write(block)); };
    socket.on("drain", more);
    more();
  },
  /** Reads nothing until it is told to. */
  deaf: (socket) => { accept(socket, "raw"); socket.pause(); deaf.push(socket); },
  reset: (socket) => { accept(socket, "raw", "and"); setTimeout(() => socket.resetAndDestroy(), 50); },
  refuse: (socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
  wrong: (socket) => accept(socket, "other"),
  injected: (socket) => socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\nhello"),
  exit: (socket) => { accept(socket, "raw", "bye"); setTimeout(() => process.exit(3), 50); },
};
server.on("upgrade", (request, socket, head) => {
  const { pathname } = new URL(request.url, "http://x");
  const name = pathname.split("/")[2];
  socket.on("error", (error) => seen.errors.push(error.code));
  socket.on("close", () => { seen.rawClosed = (seen.rawClosed ?? 0) + 1; });
  if (request.headers.upgrade.toLowerCase() === "websocket" && pathname === "/ws")
    sockets.handleUpgrade(request, socket, head, (s) => sockets.emit("connection", s, request));
  else if (pathname.startsWith("/raw/") && raw[name]) raw[name](socket, head);
  else socket.destroy();
});
process.on("SIGTERM", () => {
  for (const s of sockets.clients) s.close(1001, "going away");
  server.close(() => process.exit(0));
});
