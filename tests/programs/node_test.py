"""node: child_process, worker_threads, cluster."""

import sys

from harness import Scenario, Suite

CHILDREN = r"""
const { spawn, fork, exec, execFileSync, spawnSync } = require('child_process');
const fs = require('fs');
const ended = child => new Promise(resolve => child.on('close', (code, signal) => resolve([code, signal])));
if (process.argv[2] === 'child') {
  process.on('message', m => { process.send({ echo: m, parent: process.ppid }); if (m === 'end') process.exit(4); });
} else (async () => {
  console.log(fs.readlinkSync('/proc/self') === String(process.pid), process.ppid > 0);
  console.log(execFileSync('echo', ['sync']).toString(), spawnSync('sh', ['-c', 'exit 5']).status, spawnSync('sh', ['-c', 'kill -9 $$']).signal);
  const cat = spawn('cat'); let out = ''; cat.stdout.on('data', d => out += d); cat.stdin.end('x'.repeat(200000));
  console.log(await ended(cat), out.length);
  const many = await Promise.all([...Array(20).keys()].map(i => ended(spawn('sh', ['-c', `exit ${i}`]))));
  console.log(many.map(x => x[0]).join());
  const sleeper = spawn('sleep', ['1000']); process.kill(sleeper.pid, 0); sleeper.kill(); console.log(await ended(sleeper));
  try { process.kill(sleeper.pid, 0); console.log('alive'); } catch (e) { console.log(e.code); }
  const child = fork(__filename, ['child']); const answers = []; child.on('message', m => answers.push([m.echo, m.parent === process.pid]));
  child.send('one'); child.send('end'); console.log(await ended(child), answers);
  const detached = spawn('sh', ['-c', 'cut -d" " -f5,6 /proc/$$/stat'], { detached: true }); out = ''; detached.stdout.on('data', d => out += d); await ended(detached);
  console.log(out.trim() === `${detached.pid} ${detached.pid}`);
  await new Promise(resolve => exec('echo $X; exit 6', { env: { X: 'env', PATH: process.env.PATH } }, (error, stdout) => { console.log(error.code, stdout); resolve(); }));
  await new Promise(resolve => exec('exec sleep 1000', { timeout: 50 }, error => { console.log(error.killed, error.signal); resolve(); }));
  await new Promise(resolve => spawn('nosuchcommand').on('error', e => { console.log(e.code); resolve(); }));
  process.once('SIGUSR2', () => { console.log('signal'); process.exitCode = 3; });
  process.kill(process.pid, 'SIGUSR2');
  setTimeout(() => {}, 50);
})();
"""

WORKERS = r"""
const { Worker, isMainThread, parentPort, workerData, threadId } = require('worker_threads');
if (isMainThread) {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  let sum = 0, done = 0;
  for (let i = 0; i < 6; i++) {
    new Worker(__filename, { workerData: { shared, i } }).on('message', m => { sum += m.sum; if (m.pid !== process.pid) console.log('another pid'); })
      .on('exit', code => { if (++done === 6) console.log(sum, shared[0], code); });
  }
} else {
  let sum = 0; for (let i = 0; i < 1000000; i++) { sum += i % (workerData.i + 2); if (i % 1000 === 0) Atomics.add(workerData.shared, 0, 1); }
  parentPort.postMessage({ sum, pid: process.pid });
}
"""

CLUSTER = r"""
const cluster = require('cluster'), http = require('http');
if (cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork(), cluster.fork()]; let listening = 0; const exits = [];
  cluster.on('exit', (worker, code, signal) => { exits[workers.indexOf(worker)] = [code, signal]; if (Object.keys(exits).length === 3) console.log('exits', exits); });
  const get = port => new Promise((resolve, reject) => http.get({ port, host: '127.0.0.1', headers: { connection: 'close' } }, response => {
    let data = ''; response.on('data', x => data += x); response.on('end', () => resolve(data));
  }).on('error', reject));
  cluster.on('listening', async (worker, address) => {
    if (++listening < 3) return;
    const answers = await Promise.all([...Array(30)].map(() => get(address.port)));
    console.log('answers', answers.length, 'of workers', answers.every(pid => workers.some(w => String(w.process.pid) === pid)));
    process.kill(workers[0].process.pid, 'SIGTERM'); workers[1].process.kill('SIGKILL'); workers[2].disconnect();
  });
} else {
  http.createServer((request, response) => response.end(String(process.pid))).listen(0, '127.0.0.1');
}
"""

suite = Suite("node").needs("nodejs", "node")
for name, text in (("child_process", CHILDREN), ("worker_threads", WORKERS), ("cluster", CLUSTER)):
    suite.add(Scenario(name, ["node", "scenario.js"], files={"scenario.js": text}))
sys.exit(suite.main())
