// Memory of hobd, hob-runner and hob-launcher over time: samples, and the straight line through them.
import fs from "node:fs";
import { childNamed } from "../e2e/harness.mjs";

const MIB = 1024 * 1024;

function look(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  return { pid, at: Date.now(), rss: Number(status.match(/VmRSS:\s+(\d+)/)[1]) * 1024 };
}

export class Memory {
  constructor(hob) {
    this.hob = hob;
    this.samples = { hobd: [], "hob-runner": [], "hob-launcher": [] };
    this.timer = setInterval(() => this.sample(), 2000);
  }

  sample() {
    for (const [name, samples] of Object.entries(this.samples)) {
      const pid = name === "hobd" ? this.hob.pid : childNamed(this.hob.pid, name);
      try {
        if (pid) samples.push(look(pid));
      } catch {
        // it ended between two looks
      }
    }
  }

  /** The last process of that name, without its first `warm` part, when everything grew to its size. */
  settled(name, warm) {
    const all = this.samples[name];
    const own = all.filter((s) => s.pid === all.at(-1).pid);
    return own.slice(Math.floor(own.length * warm));
  }

  /** {mean, growth} in MiB: growth is what the line through the samples rises from the first to the last. */
  line(name, warm = 0.3) {
    const own = this.settled(name, warm);
    const mean = (of) => own.reduce((sum, s) => sum + of(s), 0) / own.length;
    const at = mean((s) => s.at), rss = mean((s) => s.rss);
    const slope = mean((s) => (s.at - at) * (s.rss - rss)) / mean((s) => (s.at - at) ** 2);
    return { n: own.length, mean: rss / MIB, growth: own.length < 2 ? 0 : (slope * (own.at(-1).at - own[0].at)) / MIB,
      minutes: (own.at(-1).at - own[0].at) / 60000 };
  }

  stop() {
    clearInterval(this.timer);
  }
}
