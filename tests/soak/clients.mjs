// Clients that never tire: every request has an id, and its answer is judged by it (D5). A second answer on a connection
// is no HTTP any more and ends as an error; an answer that belongs to another request does not fit.
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { request, sleep } from "../e2e/harness.mjs";

/* What a client may be told when its instance, or the runner below it, is killed or the function ends itself. */
const REASONS = new Set(["function_crashed", "instance_lost", "out_of_memory", "start_failed", "init_failed", "queue_timeout", "overloaded",
  "queue_full", "runner_lost", "no_runner", "init_timeout"]);
/* And while the launcher is gone, hobd with it. */
const DOWN = new Set(["shutting_down", "engine_unavailable", "start_failed"]);

export class Clients {
  constructor(hob, app, functions) {
    Object.assign(this, { hob, app, isOn: true, isDown: false, sent: 0, ok: 0, told: {}, lost: 0, cut: 0, wrong: [] });
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 200 });
    this.workers = Object.entries(functions).flatMap(([name, f]) => Array.from({ length: f.clients }, () => this.work(name, f)));
  }

  async work(name, f) {
    while (this.isOn) {
      if (!this.isDown) await this.ask(name, f);
      await sleep(f.pause * (0.5 + Math.random()));
    }
  }

  async ask(name, f) {
    const id = `${name}-${this.sent++}`;
    const body = f.bytes ? randomBytes(1 + Math.floor(Math.random() * f.bytes)) : undefined;
    const asked = { id, digest: body && createHash("sha256").update(body).digest("hex") };
    try {
      const answer = await request(`${this.hob.url}/fn/${this.app}/${name}?id=${id}`, { agent: this.agent, method: body ? "POST" : "GET", body });
      this.judge(f, asked, answer);
    } catch (error) {
      this.broken(name, id, error);
    }
  }

  judge(f, asked, answer) {
    if (answer.status === 200 && f.fits(asked, answer.text)) this.ok++;
    else if (this.isDown && answer.status === 503 && DOWN.has(reasonOf(answer))) this.lost++;
    else if (answer.status >= 500 && REASONS.has(reasonOf(answer))) this.note(asked.id, answer);
    else this.wrong.push(`${asked.id}: ${answer.status} ${answer.text.slice(0, 200)}`);
  }

  note(id, answer) {
    const reason = reasonOf(answer);
    this.told[reason] = (this.told[reason] ?? 0) + 1;
    this.last = `${id}: ${answer.text.slice(0, 300)}`;
  }

  /* A connection may only be lost while hobd is down, or cut under a streamed answer whose instance was killed. */
  broken(name, id, error) {
    if (this.isDown) this.lost++;
    else if (name === "stream" && /broken off|socket hang up|ECONNRESET/.test(error.message)) this.cut++;
    else this.wrong.push(`${id}: ${error.message}`);
  }

  async stop() {
    this.isOn = false;
    await Promise.all(this.workers);
    this.agent.destroy();
  }

  words() {
    return `${this.sent} requests: ${this.ok} answered, ${Object.entries(this.told).map(([k, n]) => `${n} ${k}`).join(", ") || "none refused"}, ` +
      `${this.lost} lost with the daemon, ${this.cut} streams cut, ${this.wrong.length} wrong`;
  }
}

function reasonOf(answer) {
  try {
    return JSON.parse(answer.text).reason;
  } catch {
    return undefined;
  }
}
