const express = require("express");
const app = express();
const port = 3000;

app.get("/", (req, res) => res.send(`Hello, ${req.query.name ?? "world"}, from Express\n`));
app.get("/events", (req, res) => {
  res.set("content-type", "text/event-stream");
  const timer = setInterval(() => res.write(`data: ${new Date().toISOString()}\n\n`), 1000);
  res.on("close", () => clearInterval(timer));
});
app.post("/echo", express.json(), (req, res) => res.json(req.body));

app.listen(port, () => console.log(`listening on port ${port}`));
