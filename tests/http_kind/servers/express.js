// An Express application as its users write them; nothing in it is meant for Hob.
const express = require("express");
const app = express();
const port = 3000;
let connections = 0;
let gone = 0;

app.get("/", (req, res) => res.send("Hello from Express"));
app.post("/echo", (req, res) => {
  if (req.headers["content-length"]) res.set("content-length", req.headers["content-length"]);
  res.type("application/octet-stream");
  req.pipe(res);
});
app.post("/json", express.json({ limit: "1mb" }), (req, res) => res.status(201).json({ got: req.body }));
app.get("/headers", (req, res) => res.json({ headers: req.headers, ip: req.ip, protocol: req.protocol, query: req.query }));
app.get("/bytes/:n", (req, res) => {
  let left = Number(req.params.n);
  const piece = Buffer.alloc(65536, "0123456789abcdef");
  const more = () => {
    while (left > 0) {
      const n = Math.min(left, piece.length);
      left -= n;
      if (!res.write(piece.subarray(0, n))) return res.once("drain", more);
    }
    return res.end();
  };
  more();
});
app.get("/events", (req, res) => {
  res.set({ "content-type": "text/event-stream", "cache-control": "no-cache" });
  let n = 0;
  const timer = setInterval(() => res.write(`data: ${n++}\n\n`), 50);
  res.write(": hello\n\n");
  res.on("close", () => {
    gone = Date.now();
    clearInterval(timer);
  });
});
app.get("/gone", (req, res) => res.send(String(gone)));
app.get("/connections", (req, res) => res.send(String(connections)));
app.get("/cookies", (req, res) => res.cookie("a", "1").cookie("b", "2").redirect(302, "/elsewhere"));
app.get("/fail", () => {
  throw new Error("it failed");
});
app.get("/exit", () => process.exit(5));
app.get("/slow", (req, res) => setTimeout(() => res.send("slow"), Number(req.query.ms)));
app.use("/files", express.static("public"));

const server = app.listen(port, () => console.log(`listening on port ${port}`));
server.on("connection", () => connections++);
