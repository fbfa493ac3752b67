// The peer: the same hello on a bare Node cluster, a worker for each core.
import cluster from 'node:cluster';
import http from 'node:http';
import os from 'node:os';
if (cluster.isPrimary) for (let i = 0; i < os.availableParallelism(); i++) cluster.fork();
else http.createServer((req, res) => res.end('hello\n')).listen(Number(process.argv[2]), '127.0.0.1');
