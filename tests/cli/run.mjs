// Runs the command line as a process of its own: no environment but what a test gives, a private home.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { TOKEN } from './server.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const bin = path.resolve(root, process.env.HOB_BIN ?? path.join(process.env.B ?? 'build', 'bin')); // the folder, or the program
export const HOB = statSync(bin).isDirectory() ? path.join(bin, 'hob') : bin;

export function tempDir(t) {
  const dir = mkdtempSync(path.join(tmpdir(), 'hob-cli-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function hobStart(args, { server, env = {}, cwd = '/', input = '', token = TOKEN, terminal = false } = {}) {
  const where = server ? { HOB_URL: server.url, ...(token ? { HOB_TOKEN: token } : {}) } : {};
  const options = { cwd, env: { PATH: process.env.PATH, HOME: '/nonexistent', TERM: 'xterm', ...where, ...env } };
  const quoted = [HOB, ...args].map((a) => `'${a.replaceAll("'", "'\\''")}'`).join(' ');
  const child = terminal ? spawn('script', ['-qec', quoted, '/dev/null'], options) : spawn(HOB, args, options);
  const out = { stdout: '', stderr: '', child };
  child.stdout.on('data', (d) => (out.stdout += d.toString('latin1')));
  child.stderr.on('data', (d) => (out.stderr += d));
  child.stdin.on('error', () => {});
  if (input !== null) child.stdin.end(input);
  out.done = new Promise((done) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 20000);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      out.code = code;
      out.signal = signal;
      out.stdout = Buffer.from(out.stdout, 'latin1').toString();
      done(out);
    });
  });
  return out;
}

export const hob = (args, options) => hobStart(args, options).done;
