// A plain server of Node that runs what it is sent: `ask(method, path, body, headers)` speaks to the bindings' URL, as the
// invocation unless told otherwise; what it gets comes back.
import http from "node:http";
import net from "node:net";

const base = process.env.HOB_BINDINGS_URL && new URL(process.env.HOB_BINDINGS_URL);
const kept = {};

/** One request to the bindings, with Node's own client. */
export function asking(token) {
  return (method, path, body, headers = {}) => new Promise((resolve, reject) => {
    const text = body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const own = { ...(token ? { "x-hob-invocation": token } : {}), ...(text === undefined ? {} : { "content-length": Buffer.byteLength(text) }), ...headers };
    const req = http.request({ host: base.hostname, port: base.port, method, path, headers: own, agent: false }, (res) => {
      const parts = [];
      res.on("data", (d) => parts.push(d)).on("error", reject).on("end", () => {
        const bytes = Buffer.concat(parts);
        let json;
        try { json = JSON.parse(bytes); } catch { /* no JSON */ }
        resolve({ status: res.statusCode, headers: res.headers, json, n: bytes.length, base64: bytes.length < 5000 ? bytes.toString("base64") : undefined });
      });
    });
    req.on("error", reject);
    req.end(text);
  });
}

/** Raw bytes to the gate; what comes until it closes, or for `quiet` ms nothing does. */
export function raw(bytes, { quiet = 10000, end = false } = {}) {
  return new Promise((resolve) => {
    const s = net.connect({ port: base.port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "", timer;
    const done = (how) => { clearTimeout(timer); s.destroy(); resolve({ text, how }); };
    const wait = () => { clearTimeout(timer); timer = setTimeout(() => done("quiet"), quiet); };
    s.on("data", (d) => { text += d.toString("latin1"); wait(); }).on("end", () => done("end")).on("error", (e) => done(e.code));
    wait();
    s.write(bytes);
    if (end) s.end();
  });
}

http.createServer((req, res) => {
  const parts = [];
  req.on("data", (d) => parts.push(d)).on("end", async () => {
    const token = req.headers["x-hob-invocation"];
    try {
      const run = String(Buffer.concat(parts));
      const made = new (async () => {}).constructor("ask", "token", "raw", "asking", "kept", "net", "request", run);
      const value = await made(asking(token), token, raw, asking, kept, net, req);
      res.setHeader("content-type", "application/json").end(JSON.stringify({ value }));
    } catch (error) {
      res.statusCode = 500;
      res.end(String(error.stack));
    }
  });
}).listen(process.env.PORT);
