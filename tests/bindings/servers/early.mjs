// Asks before it listens, as a server does that reads its configuration first.
import http from "node:http";
const first = await fetch(`${process.env.HOB_BINDINGS_URL}/classes/Note`);
const text = await first.text();
http.createServer((req, res) => res.end(JSON.stringify({ status: first.status, text }))).listen(process.env.PORT);
