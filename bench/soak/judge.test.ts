import assert from "node:assert/strict";
import { test } from "node:test";
import { Account } from "./account.ts";
import { contentOf, findMail } from "./content.ts";
import { judge, judgeReloads, restOf, type Judged, type Rest } from "./judge.ts";
import type { Sample } from "./watch.ts";

const MIB = 1024;
const process = { name: "scheduler", pid: 7, pssKiB: 70 * MIB, ownKiB: 50 * MIB, descriptors: 20 };
const look = (ownKiB: number): Sample => ({
  atMs: 0,
  cpuSeconds: 0,
  spoolBytes: 0,
  processes: [
    { ...process, ownKiB },
    { ...process, name: "egress-1", pid: 8, ownKiB: 50 * MIB },
  ],
});
const rest = (over: Partial<Rest["processes"][number]> = {}): Rest => ({
  processes: [{ ...process, liveBytes: 10e6, pageBytes: 20e6, handles: 5, ...over }],
});
const steady: Judged = {
  middle: [look(50 * MIB), look(51 * MIB), look(49 * MIB)],
  last: [look(52 * MIB), look(90 * MIB), look(50 * MIB)],
  before: rest(),
  between: rest(),
  after: rest(),
};

test("what goes up and down without staying up is no growth", () => {
  assert.deepEqual(judge(steady), []);
  assert.deepEqual(judge({ ...steady, after: rest({ liveBytes: 11e6, descriptors: 22, handles: 7 }) }), []);
});

test("memory that is more than 5 % above the part before is told, of all processes together", () => {
  const last = [look(62 * MIB), look(60 * MIB), look(61 * MIB)];
  assert.deepEqual(judge({ ...steady, last }), [
    "memory grew from 100.0 to 111.0 MiB (PSS of what backs no file, medians)",
  ]);
  assert.deepEqual(judge({ ...steady, last: [look(54 * MIB)] }), []);
});

test("memory that is more than 5 % above the rest before is told, of all processes together", () => {
  assert.deepEqual(judge({ ...steady, after: rest({ ownKiB: 52 * MIB }) }), []);
  assert.deepEqual(judge({ ...steady, after: rest({ ownKiB: 53 * MIB }) }), [
    "memory at rest grew from 50.0 to 53.0 MiB (PSS of what backs no file)",
  ]);
});

test("what a process keeps at rest is told by its name: heap, descriptors, sockets", () => {
  const after = rest({ liveBytes: 11.1e6, descriptors: 23, handles: 8 });
  assert.deepEqual(judge({ ...steady, after }), [
    "the live heap of scheduler grew from 10.00 to 11.10 MB",
    "scheduler had 20 descriptors and has 23",
    "scheduler had 5 sockets and pipes and has 8",
  ]);
});

test("a process that ended in between is told, as one is that did not come again", () => {
  assert.match(judge({ ...steady, after: rest({ pid: 9 }) }).join(), /^scheduler is another process than before/);
  assert.deepEqual(judge({ ...steady, after: { processes: [] } }), ["scheduler is gone"]);
});

test("reloads may replace processes, but not make more of them, nor may those that stay keep anything", () => {
  assert.deepEqual(judgeReloads(rest(), rest({ pid: 9, liveBytes: 20e6 })), []);
  assert.deepEqual(judgeReloads(rest(), rest({ liveBytes: 12e6 })), [
    "after reloads: the live heap of scheduler grew from 10.00 to 12.00 MB",
  ]);
  const { processes } = rest();
  assert.deepEqual(judgeReloads(rest(), { processes: [...processes, ...rest({ pid: 9 }).processes] }), [
    "after reloads: 1 processes have become 2",
  ]);
});

test("at rest the smallest of several looks counts, and timers do not", () => {
  const samples = [look(50 * MIB), { ...look(50 * MIB), processes: [{ ...process, descriptors: 18 }] }];
  const probe = {
    atMs: 0,
    pid: 7,
    thread: 0,
    liveBytes: 9e6,
    pageBytes: 15e6,
    handles: { TCPSocketWrap: 2, PipeWrap: 1, Timeout: 40 },
  };
  const other = { ...probe, liveBytes: 8e6, handles: { TCPSocketWrap: 4 } };
  const thread = { ...probe, thread: 1, liveBytes: 5e6, handles: {} };
  const { processes } = restOf(samples, [probe, thread, other, { ...thread, liveBytes: 4e6 }]);
  assert.deepEqual(processes, [{ ...process, descriptors: 18, liveBytes: 12e6, pageBytes: 30e6, handles: 3 }]);
});

test("a process that said nothing of its heap is no proof of anything", () => {
  const silent = restOf([look(50 * MIB)], []);
  assert.match(judge({ ...steady, before: silent, after: silent }).join(), /scheduler did not tell its heap/);
});

test("the account is exact when each promised delivery was seen once and whole, in whichever order", () => {
  const account = new Account();
  const [one, other] = [account.next(), account.next()];
  account.arrive(one, "ada", true);
  account.promise(one, ["ada", "post"]);
  account.promise(other, ["ada"]);
  account.arrive(other, "ada", true);
  assert.equal(account.owedCount, 1);
  assert.match(account.verdict().join(), /^1 promised with 250 and never seen: 0 post$/);
  account.arrive(one, "post", true);
  assert.deepEqual(account.verdict(), []);
  account.arrive(one, "post", true);
  account.arrive(9000, "ada", false);
  assert.deepEqual(account.verdict(), [
    "0 post has arrived twice",
    "9000 ada is not as it was sent",
    "4 arrived of 3 promised",
  ]);
});

test("a mail is found again by its number, and known to be whole or not", () => {
  const sent = contentOf(12, 5000);
  assert.deepEqual(findMail(`Received: x\r\n${sent}\r\n`), { number: 12, isWhole: true });
  assert.deepEqual(findMail(sent.slice(0, -100)), { number: 12, isWhole: false });
  assert.equal(findMail("Subject: other\r\n\r\nX-Soak: no"), undefined);
});
