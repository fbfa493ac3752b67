// The peer: the same hello on bare node:http.
import http from 'node:http';
http.createServer((req, res) => res.end('hello\n')).listen(Number(process.argv[2]), '127.0.0.1');
