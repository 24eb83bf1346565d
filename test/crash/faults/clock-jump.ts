import { globSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { between, type Fault, type Life } from "./fault.ts";

/**
 * The machine's clock is set, forward or back, while the server runs. Debian's libfaketime tells all its processes another time
 * of day, as a file says; what only counts on (CLOCK_MONOTONIC) goes on as it did, as with a real clock that is set.
 */
const PEERS = process.env["POSTHORN_PEERS"] ?? "/opt/posthorn-peers";
const HOUR_S = 3600;
/** Mail expires after four days. */
const FARTHEST_S = 60 * HOUR_S;

export const clockJump: Fault = {
  name: "clock-jump",
  says: "the time of day jumps forward or back by up to two and a half days, and later back to what it was",
  layouts: ["single", "split"],
  mayRepeat: false,
  // What was put off before a start with another clock may wait for long, once.
  excludes: ["kill-scheduler"],
  missing: () => (library() === undefined ? "libfaketime is not installed" : undefined),
  prepare(life) {
    setClock(life, 0);
    life.starting.env = {
      ...life.starting.env,
      LD_PRELOAD: library() ?? "",
      FAKETIME_TIMESTAMP_FILE: join(life.folder, "clock"),
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      FAKETIME_DISABLE_SHM: "1",
      NO_FAKE_STAT: "1",
    };
  },
  async play(life) {
    const jumps: string[] = [];
    for (let left = 1 + Math.floor(life.random.next() * 2); left > 0; left--) {
      const draw = life.random.next();
      const seconds = Math.round((draw < 0.5 ? -1 : 1) * between(life.random, 60, FARTHEST_S));
      setClock(life, seconds);
      jumps.push(`${seconds} s`);
      await wait(between(life.random, 300, 1500));
    }
    setClock(life, 0);
    return `clock at ${jumps.join(", ")}, then right again`;
  },
  // What was taken in hand while the clock was ahead may wait for long behind a start.
  cure: scheduleAll,
};

async function scheduleAll(life: Life): Promise<string> {
  const { status, stdout, stderr } = (await life.server()?.posthorn("schedule", "--all")) ?? {};
  return `posthorn schedule --all: ${status}, ${stdout?.trim()}${stderr?.trim()}`;
}

function setClock({ folder }: Life, seconds: number): void {
  const file = join(folder, "clock");
  writeFileSync(`${file}.new`, `${seconds < 0 ? "" : "+"}${seconds}s\n`);
  renameSync(`${file}.new`, file);
}

function library(): string | undefined {
  return globSync([
    `${PEERS}/faketime/usr/lib/*/faketime/libfaketimeMT.so.1`,
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
  ])[0];
}
