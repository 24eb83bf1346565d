import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { Clock } from "../../foundation/clock.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { virtualClock } from "../../simulator/clock.ts";
import type { AnyEvent, Emit } from "../../foundation/events.ts";
import { dropFolder, releaseClaims, type DropFolder, type Handed } from "./drop-folder.io.ts";
import { writeDropped } from "./dropped-mail.ts";

const mail = { sender: "a@ours.example", recipients: ["b@ours.example"] };
const name = (letter: string): string => `${letter.repeat(32)}.mail`;

test("a mail that a newer Posthorn left stays in the drop folder, and is told; what is none goes back", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "taken"));
  const content = Buffer.from("Subject: here\r\n\r\nbody\r\n");
  const newer = Buffer.from(String(writeDropped(mail, content)).replace('"posthorn":1', '"posthorn":2'));
  writeFileSync(join(folder, name("n")), newer);
  writeFileSync(join(folder, name("o")), "no mail at all\n");
  writeFileSync(join(folder, name("p")), writeDropped(mail, content));
  const told: string[] = [];
  const handed: string[] = [];
  const given: string[] = [];
  const emit: Emit = (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? "");
  const drop = dropFolder({
    folder,
    claimer: "one",
    clock: systemClock,
    emit,
    mostBytes: () => 10_000,
    accountOf: () => Promise.resolve("somebody"),
    hand: (_account, _mail, bytes) => {
      handed.push(String(bytes));
      return Promise.resolve({ kind: "taken" });
    },
    giveBack: (account, parsed, bytes, lines) => {
      given.push(`${account}: ${parsed === undefined ? "no mail" : "a mail"}: ${String(bytes)}${lines.join()}`);
      return Promise.resolve({ kind: "taken" });
    },
  });
  drop.start();
  // One of them is handed in, one refused, one left.
  for (const untilAt = Date.now() + 60_000; told.length < 3 && Date.now() < untilAt;) await wait(10);
  await drop.close();
  assert.deepEqual(handed, [String(content)]);
  assert.equal(given.length, 1);
  assert.match(given[0] ?? "", /^somebody: no mail: no mail at all\nexpected /);
  // Nobody who ends keeps anything from the next.
  assert.deepEqual(readdirSync(join(folder, "taken")), []);
  assert.deepEqual(readdirSync(folder).toSorted(), [name("n"), "taken"].toSorted());
  assert.ok(
    told.some((line) => /expected format 1, and found 2/.test(line)),
    told.join("\n"),
  );
});

test("a link, a pipe, a device, a directory, another's file and one without bounds bring nothing in, and hold nothing up", async (t) => {
  const whole = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(whole, { recursive: true }));
  const folder = join(whole, "drop");
  mkdirSync(join(folder, "taken"), { recursive: true });
  const theirs = writeDropped(
    { ...mail, sender: "victim@ours.example" },
    Buffer.from("Subject: not mine\r\n\r\nx\r\n"),
  );
  const [victim, kept] = [join(whole, "victim"), join(whole, "kept")];
  writeFileSync(victim, theirs);
  mkdirSync(kept);
  writeFileSync(join(kept, "precious"), "x");
  symlinkSync(victim, join(folder, name("a")));
  linkSync(victim, join(folder, name("b")));
  execFileSync("mkfifo", [join(folder, name("c"))]);
  symlinkSync("/dev/zero", join(folder, name("d")));
  symlinkSync(kept, join(folder, name("e")));
  mkdirSync(join(folder, name("f")));
  symlinkSync(kept, join(folder, name("f"), "in"));
  writeFileSync(join(folder, name("g")), "");
  truncateSync(join(folder, name("g")), 1 << 30);
  const given: number[] = [];
  // Root drops for others, too; whose mail it is, the file says, and nothing in it.
  const uid = process.getuid?.() === 0 ? 65_534 : (process.getuid?.() ?? 0);
  const content = Buffer.from("Subject: mine\r\n\r\nx\r\n");
  writeFileSync(join(folder, name("h")), writeDropped(mail, content));
  chownSync(join(folder, name("h")), uid, -1);

  const told: string[] = [];
  const handed: string[] = [];
  const drop = dropFolder({
    folder,
    claimer: "one",
    clock: systemClock,
    emit: (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? ""),
    mostBytes: () => 10_000,
    accountOf: (number) => Promise.resolve(`user ${number}`),
    hand: (account, _mail, bytes) => {
      handed.push(`${account}: ${String(bytes)}`);
      return Promise.resolve({ kind: "taken" });
    },
    giveBack: (_account, _mail, bytes) => {
      given.push(bytes.length);
      return Promise.resolve({ kind: "taken" });
    },
  });
  drop.start();
  for (const untilAt = Date.now() + 60_000; told.length < 8 && Date.now() < untilAt;) await wait(10);
  await drop.close();
  assert.deepEqual(handed, [`user ${uid}: ${String(content)}`]);
  assert.equal(told.length, 8, told.join("\n"));
  // Whose file is too large gets to know, without all of it being read.
  assert.equal(given.length, 1);
  assert.ok((given[0] ?? Infinity) < 5 * 1024 * 1024);
  assert.deepEqual(readdirSync(join(folder, "taken")), []);
  // What the links lead to is as it was.
  assert.deepEqual(readFileSync(victim), theirs);
  assert.ok(existsSync(join(kept, "precious")));
});

test("a mail that is too large goes back to its user with what it was, and when nobody takes that it stays", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "taken"));
  const content = Buffer.from(`Subject: large\r\n\r\n${"x".repeat(20_000)}\r\n`);
  writeFileSync(join(folder, name("l")), writeDropped(mail, content));
  writeFileSync(join(folder, name("m")), writeDropped({ ...mail, sender: "lost@ours.example" }, content));
  const told: string[] = [];
  const given: unknown[] = [];
  const drop = dropFolder({
    folder,
    claimer: "one",
    clock: systemClock,
    emit: (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? ""),
    mostBytes: () => 10_000,
    accountOf: () => Promise.resolve("somebody"),
    hand: () => assert.fail("it is too large to be handed in"),
    giveBack: (_account, parsed, bytes, lines) => {
      if (parsed?.sender === "lost@ours.example")
        return Promise.resolve({ kind: "refused", lines: ["550 no such user"] });
      given.push([parsed?.sender, parsed?.recipients, bytes.equals(content), lines]);
      return Promise.resolve({ kind: "taken" });
    },
  });
  drop.start();
  for (const untilAt = Date.now() + 60_000; told.length < 3 && Date.now() < untilAt;) await wait(10);
  await drop.close();
  const why = "it is larger than 10000 bytes, which local-submission.drop-size allows";
  assert.deepEqual(given, [[mail.sender, mail.recipients, true, [why]]]);
  assert.deepEqual(readdirSync(join(folder, "taken")), []);
  assert.deepEqual(readdirSync(join(folder, "refused")), [name("m")]);
  assert.ok(
    told.some((line) => line.includes(join(folder, "refused", name("m"))) && line.includes("550 no such user")),
    told.join("\n"),
  );
});

test("what a claimer had that is no more is for the next, whoever has its process number now, and what one has that lives is not", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const taken = join(folder, "taken");
  mkdirSync(taken);
  const dropped = (letter: string): Buffer => writeDropped(mail, Buffer.from(`${letter}\r\n`));
  const handed: string[] = [];
  const taker = (claimer: string, answer: () => Handed) =>
    dropFolder({
      folder,
      claimer,
      clock: systemClock,
      emit: () => {},
      mostBytes: () => 10_000,
      accountOf: () => Promise.resolve("somebody"),
      hand: (_account, _mail, bytes) => {
        handed.push(`${claimer}: ${String(bytes).trim()}`);
        return Promise.resolve(answer());
      },
      giveBack: () => Promise.resolve({ kind: "taken" }),
    });
  const until = async (count: number): Promise<void> => {
    for (const untilAt = Date.now() + 60_000; handed.length < count && Date.now() < untilAt;) await wait(10);
  };
  // Of a Posthorn that named claims by process numbers, in a life before; this number is somebody's who lives.
  writeFileSync(join(taken, `${process.ppid}.${name("a")}`), dropped("a"));
  releaseClaims(folder);
  // One that lives has it, and cannot bring it in now.
  const first = taker("ingress-1", () => ({ kind: "later", text: "paused" }));
  first.start();
  await until(1);
  const second = taker("ingress-2", () => ({ kind: "taken" }));
  writeFileSync(join(folder, name("b")), dropped("b"));
  second.start();
  await until(2);
  await second.close();
  assert.deepEqual(handed, ["ingress-1: a", "ingress-2: b"]);
  // It ends; the file was changed meanwhile to what its user made of the same name.
  writeFileSync(join(folder, name("a")), dropped("c"));
  await first.close();
  assert.deepEqual(readdirSync(taken), []);
  const third = taker("ingress-3", () => ({ kind: "taken" }));
  third.start();
  await until(4);
  await third.close();
  assert.deepEqual(handed.slice(2).toSorted(), ["ingress-3: a", "ingress-3: c"]);
  // Killed in the middle of it: whoever starts processes says so.
  writeFileSync(join(taken, `ingress-4.${name("d")}`), dropped("d"));
  writeFileSync(join(taken, `ingress-5.${name("e")}`), dropped("e"));
  releaseClaims(folder, "ingress-4");
  assert.deepEqual(readdirSync(taken), [`ingress-5.${name("e")}`]);
  assert.ok(existsSync(join(folder, name("d"))));
});

test("a mail whose file cannot be removed is handed in once, and the others are not held up", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const taken = join(folder, "taken");
  mkdirSync(taken);
  for (const letter of ["a", "b"])
    writeFileSync(join(folder, name(letter)), writeDropped(mail, Buffer.from(`${letter}\r\n`)));
  const clock = virtualClock(Date.now());
  const told: string[] = [];
  const handed: string[] = [];
  const drop = dropFolder({
    folder,
    claimer: "one",
    clock,
    emit: (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? ""),
    mostBytes: () => 10_000,
    accountOf: () => Promise.resolve("somebody"),
    hand: (_account, _mail, bytes) => {
      handed.push(String(bytes).trim());
      // A disk that has become one for reading only says no to everybody, root too; so does this, in the file's place.
      if (String(bytes).startsWith("a")) {
        rmSync(join(taken, `one.${name("a")}`));
        mkdirSync(join(taken, `one.${name("a")}`));
      }
      return Promise.resolve({ kind: "taken" });
    },
    giveBack: () => Promise.resolve({ kind: "taken" }),
  });
  drop.start();
  for (let looks = 0; looks < 30; looks++) {
    await wait(20);
    await clock.advance(10_000);
  }
  assert.deepEqual(handed.toSorted(), ["a", "b"]);
  assert.ok(
    told.some((line) => /its mail is in the queue, but it cannot be removed/.test(line)),
    told.join("\n"),
  );
  // Not at each look.
  assert.ok(told.length < 10, told.join("\n"));
  rmSync(join(taken, `one.${name("a")}`), { recursive: true });
  await drop.close();
});

test("whatever else fills the folder, mail is taken in", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "taken"));
  for (let n = 0; n < 30_000; n++) writeFileSync(join(folder, `junk-${n}`), "");
  for (const letter of ["a", "b", "c", "d"])
    writeFileSync(join(folder, name(letter)), writeDropped(mail, Buffer.from(`${letter}\r\n`)));
  const handed: string[] = [];
  const drop = dropFolder({
    folder,
    claimer: "one",
    clock: systemClock,
    emit: () => {},
    mostBytes: () => 10_000,
    accountOf: () => Promise.resolve("somebody"),
    hand: (_account, _mail, bytes) => {
      handed.push(String(bytes).trim());
      return Promise.resolve({ kind: "taken" });
    },
    giveBack: () => Promise.resolve({ kind: "taken" }),
  });
  drop.start();
  for (const untilAt = Date.now() + 8000; handed.length < 4 && Date.now() < untilAt;) await wait(10);
  await drop.close();
  assert.deepEqual(handed.toSorted(), ["a", "b", "c", "d"]);
});

test("a mail that was handed in is not given back where its file can be removed at the end", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const taken = join(folder, "taken");
  mkdirSync(taken);
  const content = writeDropped(mail, Buffer.from("a\r\n"));
  writeFileSync(join(folder, name("a")), content);
  const handed: string[] = [];
  const claim = join(taken, `one.${name("a")}`);
  const drop = takerOf(folder, (bytes) => {
    handed.push(bytes);
    // What cannot be removed now, and can a while later: a directory in the file's place.
    rmSync(claim);
    mkdirSync(claim);
  });
  drop.start();
  for (const untilAt = Date.now() + 8000; handed.length === 0 && Date.now() < untilAt;) await wait(10);
  await wait(50);
  rmSync(claim, { recursive: true });
  writeFileSync(claim, content);
  await drop.close();
  assert.deepEqual(readdirSync(folder), ["taken"]);
  assert.deepEqual(readdirSync(taken), []);
  assert.deepEqual(handed, ["a\r\n"]);
});

test("a second mail under the name of one that is still in hand is taken in after that one, and neither is lost", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "taken"));
  const put = (text: string): void => writeFileSync(join(folder, name("a")), writeDropped(mail, Buffer.from(text)));
  put("first");
  const clock = virtualClock(Date.now());
  const handed: string[] = [];
  let isDown = true;
  const drop = takerOf(folder, (bytes) => (isDown ? "later" : void handed.push(bytes)), clock);
  const look = async (): Promise<void> => {
    for (let looks = 0; looks < 20; looks++) {
      await wait(10);
      await clock.advance(10_000);
    }
  };
  drop.start();
  await look();
  put("second");
  await look();
  isDown = false;
  for (let waits = 0; waits < 10 && handed.length < 2; waits++) await look();
  await drop.close();
  assert.deepEqual(handed, ["first", "second"]);
});

test("directories that somebody leaves there, and that can be neither taken nor removed, do not fill the log", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root, to be somebody else");
  const folder = mkdtempSync(join(tmpdir(), "posthorn-drop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "taken"));
  for (const place of [folder, join(folder, "taken")]) chownSync(place, NOBODY, NOBODY);
  const numbered = (n: number): string => `${String(n).padStart(32, "d")}.mail`;
  for (let n = 0; n < 300; n++) mkdirSync(join(folder, numbered(n)));
  // This one can be taken, and what is in it is root's.
  const open = join(folder, numbered(0));
  mkdirSync(join(open, "inner/most"), { recursive: true });
  chmodSync(open, 0o777);
  const clock = virtualClock(Date.now());
  const told: string[] = [];
  const drop = takerOf(
    folder,
    () => {},
    clock,
    (event, fields) => {
      told.push((event as AnyEvent).line(fields as never) ?? "");
    },
  );
  process.seteuid?.(NOBODY);
  try {
    drop.start();
    for (let looks = 0; looks < 30; looks++) {
      await wait(50);
      await clock.advance(10_000);
    }
    await drop.close();
  } finally {
    process.seteuid?.(0);
  }
  const ofOpen = told.filter((line) => line.includes(numbered(0)));
  assert.ok(ofOpen.length > 0 && ofOpen.length <= 6, `${ofOpen.length} of five minutes:\n${ofOpen.join("\n")}`);
  assert.ok(told.length <= 200, `${told.length} lines in five minutes`);
});

const NOBODY = 65_534;

function takerOf(
  folder: string,
  hand: (content: string) => "later" | void,
  clock: Clock = systemClock,
  emit: Emit = () => {},
): DropFolder {
  return dropFolder({
    folder,
    claimer: "one",
    clock,
    emit,
    mostBytes: () => 10_000,
    accountOf: () => Promise.resolve("somebody"),
    hand: async (_account, _mail, bytes) =>
      hand(String(bytes)) === "later" ? { kind: "later", text: "not now" } : { kind: "taken" },
    giveBack: async () => ({ kind: "taken" }),
  });
}
