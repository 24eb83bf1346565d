import { chmodSync, chownSync, existsSync, lstatSync, readdirSync, renameSync, rmSync, utimesSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { findPeer } from "../../peers/peer.ts";
import { treeOf } from "../../processes.ts";
import { finishRecording, rebuild, recordingCommand } from "../recorded-writes.ts";
import { between, oneOf, signal, until, type Fault, type Life } from "./fault.ts";

/**
 * The power goes: all processes end at once, and of what was not synced by then any part is missing, or torn. The server's
 * writes are recorded from its first start, and what a cut leaves of them is put in the place of its state.
 */
export const powerCut: Fault = {
  name: "power-cut",
  says: "all ends at once, and of what was not synced any part is lost or torn",
  layouts: ["single", "split"],
  mayRepeat: true,
  // One recording has one start of the server, and its own tracer.
  excludes: ["kill-server", "kill-at-start", "disk-full", "disk-errors", "few-descriptors-at-start", "out-of-memory"],
  missing: () => (findPeer("strace") === undefined ? "strace is not installed" : undefined),
  prepare(life) {
    life.starting.wrapper = recordingCommand(findPeer("strace") ?? "strace", traceOf(life));
  },
  async play(life) {
    await until(() => life.server() !== undefined, 60_000);
    await wait(between(life.random, 1000, 2500));
    const survival = oneOf(life.random, [0, 0.1, 0.5, 0.9, 1]);
    let writes = 0;
    await life.killServerAnd(
      async () => {
        const tracer = life.root() ?? 0;
        // The tracer writes its last lines when those it traces have gone.
        for (const { pid } of treeOf(tracer)) if (pid !== tracer) signal(pid, "SIGKILL");
        await until(() => life.root() === undefined, 60_000);
      },
      () => {
        const data = join(life.folder, "data");
        const recording = finishRecording(traceOf(life), data);
        writes = recording.steps.filter((step) => step.do === "write").length;
        const after = join(life.folder, "after");
        rebuild(recording, after, { cutAt: Infinity, survival, random: life.random });
        takeOwners(data, after, after);
        renameSync(data, join(life.folder, "before"));
        renameSync(after, data);
        rmSync(traceOf(life));
        life.starting.wrapper = [];
      },
    );
    return `power cut after ${writes} writes, survival ${survival}`;
  },
};

function traceOf({ folder }: Life): string {
  return join(folder, "writes");
}

/** For how long the power was away: a dot-lock that lost its content holds an mbox until it is old. */
const AWAY_S = 600;

/** A recording knows no owners: they are those of the same file, or of its folder where that is gone. */
function takeOwners(from: string, root: string, place: string): void {
  const original = join(from, relative(root, place));
  const isThere = existsSync(original);
  const { uid, gid, mode } = lstatSync(isThere ? original : existingAbove(original));
  chownSync(place, uid, gid);
  if (isThere) chmodSync(place, mode & 0o7777);
  const wasAt = Date.now() / 1000 - AWAY_S;
  if (!lstatSync(place).isDirectory()) utimesSync(place, wasAt, wasAt);
  else for (const name of readdirSync(place)) takeOwners(from, root, join(place, name));
}

function existingAbove(path: string): string {
  const above = dirname(path);
  return existsSync(above) ? above : existingAbove(above);
}
