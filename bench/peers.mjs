// How long others take to start the same C program in a container or sandbox of theirs: from the command to its first byte.
import { spawn, spawnSync, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { median } from './lib.mjs';

const runs = 15;
const has = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

function once(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const began = process.hrtime.bigint();
    let took = null;
    const p = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let why = '';
    p.stdout.once('data', () => (took = Number(process.hrtime.bigint() - began) / 1000));
    p.stderr.on('data', (d) => (why += d));
    p.on('error', reject);
    p.on('exit', (code) => (took === null ? reject(new Error(`${command}: ${code} ${why.slice(0, 200)}`)) : resolve(took)));
  });
}

const docker = (main) => {
  if (!has('docker', 'info')) throw new Error('no Docker daemon answers');
  execFileSync('sh', ['-c', 'tar -C "$1" -c main | docker import -c \'CMD ["/main"]\' - hob-bench-hello', 'sh', path.dirname(main)], { stdio: 'ignore' });
  return ['docker', ['run', '--rm', '--network', 'none', 'hob-bench-hello', '/main']];
};
const crun = (main) => {
  if (!has('crun', '--version')) throw new Error('crun is not installed');
  const bundle = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-crun-'));
  fs.mkdirSync(path.join(bundle, 'rootfs'));
  fs.copyFileSync(main, path.join(bundle, 'rootfs/main'));
  execFileSync('crun', ['spec'], { cwd: bundle });
  const file = path.join(bundle, 'config.json');
  const config = JSON.parse(fs.readFileSync(file, 'utf8'));
  Object.assign(config.process, { terminal: false, args: ['/main'] });
  fs.writeFileSync(file, JSON.stringify(config));
  return ['crun', ['run', `hob-bench-${process.pid}`], bundle];
};
const bwrap = (main) => {
  if (!has('bwrap', '--version')) throw new Error('bubblewrap is not installed');
  return ['bwrap', ['--unshare-all', '--die-with-parent', '--ro-bind', path.dirname(main), '/app', '--tmpfs', '/tmp', '--proc', '/proc', '--dev', '/dev', '/app/main']];
};
const bare = (main) => [main, []];

/** Rows for a table; a peer that is not there is named with the reason. */
export async function peers(main) {
  const rows = [];
  for (const [name, prepare] of Object.entries({ 'no isolation (spawn by Node)': bare, bubblewrap: bwrap, 'crun run': crun, 'docker run': docker })) {
    try {
      const [command, args, cwd] = prepare(main);
      const took = [];
      for (let i = 0; i < runs; i++) took.push(await once(command, args, cwd));
      rows.push([`${name}, p50`, `${(median(took) / 1000).toFixed(1)} ms`]);
      if (cwd) fs.rmSync(cwd, { recursive: true, force: true });
    } catch (error) {
      rows.push([name, `SKIPPED: ${error.message.trim().split('\n')[0]}`]);
    }
  }
  return rows;
}
