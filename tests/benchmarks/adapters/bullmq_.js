// The jobs of bullmq_.py: "work" runs them; "enqueue" does what lines of its input say,
// and answers each with a line when it is done.
'use strict';
const cluster = require('cluster');
const fs = require('fs');
const readline = require('readline');
const { Queue, Worker } = require('bullmq');

const options = JSON.parse(process.env.BENCH_OPTS);
const connection = { url: process.env.BENCH_REDIS_URL, maxRetriesPerRequest: null };
const seconds = () => (performance.timeOrigin + performance.now()) / 1000;

function work() {
  if (cluster.isPrimary && options.processes > 1) {
    for (let each = 0; each < options.processes; each++) cluster.fork();
    return;
  }
  const marks = fs.openSync(process.env.BENCH_MARKS, 'r+');
  const stamps = fs.openSync(process.env.BENCH_STAMPS, 'r+');
  const byte = Buffer.alloc(1);
  const double = Buffer.alloc(8);
  const mark = (i) => {
    fs.readSync(marks, byte, 0, 1, i);
    byte[0] += 1;
    fs.writeSync(marks, byte, 0, 1, i);
  };
  const jobs = {
    noop: async ({ i }) => {
      mark(i);
      return i;
    },
    lat: async ({ i, t }) => {
      double.writeDoubleLE(seconds() - t);
      fs.writeSync(stamps, double, 0, 8, i * 8);
      mark(i);
    },
  };
  const run = (job) => jobs[job.name](job.data);
  new Worker('bench', run, { connection, concurrency: 50 }).on('error', console.error);
}

async function enqueue() {
  const kept = options.results === false ? true : { count: options.keep ?? 1000 };
  const defaultJobOptions = { removeOnComplete: kept };
  const queue = new Queue('bench', { connection, defaultJobOptions });
  const operations = {
    one: async (ids) => {
      for (const i of ids) await queue.add('noop', { i, x: 'x' });
    },
    bulk: (ids) =>
      queue.addBulk(ids.map((i) => ({ name: 'noop', data: { i, x: 'x' } }))),
    lat: ([i]) => queue.add('lat', { i, t: seconds() }),
  };
  await queue.waitUntilReady();
  console.log('connected');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [operation, first, count] = line.split(' ');
    await operations[operation](Array.from({ length: +count }, (_, n) => +first + n));
    console.log('done');
  }
  await queue.close();
}

({ work, enqueue })[process.argv[2]]();
