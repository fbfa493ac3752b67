// Serves the page and the SDK's browser build. Everything else the page does, it does by the Parse protocol.
import fs from "node:fs";

const files = {
  "/": ["public/index.html", "text/html; charset=utf-8"],
  "/app.js": ["public/app.js", "text/javascript; charset=utf-8"],
  "/style.css": ["public/style.css", "text/css; charset=utf-8"],
  "/parse.js": ["node_modules/parse/dist/parse.min.js", "text/javascript; charset=utf-8"],
};

export default {
  fetch(request) {
    const found = files[new URL(request.url).pathname];
    if (!found) return new Response("not found\n", { status: 404 });
    const [file, type] = found;
    return new Response(fs.readFileSync(new URL(file, import.meta.url)), { headers: { "content-type": type } });
  },
};
