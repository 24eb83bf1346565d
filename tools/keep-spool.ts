/**
 * Keeps a queue as a version leaves it, for `test/end-to-end/older-queues.test.ts`. Before a new format of the queue is
 * introduced, the last one is kept:
 *
 *     node tools/keep-spool.ts                               of the present code, into test/vectors/spool-FORMAT-COMMIT
 *     node tools/keep-spool.ts --tree DIR                    of another checkout (with its node_modules)
 *     node tools/keep-spool.ts --read SPOOL --tree DIR       does that version deliver a kept queue? For going back
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { deliverSpool, describeSpool, makeSpool } from "../test/old-spool.ts";
import { scriptArguments } from "./script-arguments.ts";

const ROOT = resolve(import.meta.dirname, "..");
const { values } = scriptArguments({ options: { tree: { type: "string", default: ROOT }, read: { type: "string" } } });
const tree = resolve(values.tree);
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: tree, encoding: "utf8" }).trim();

if (values.read === undefined) {
  const vectors = join(ROOT, "test", "vectors");
  const into = mkdtempSync(join(vectors, "making-"));
  const { format } = await makeSpool(tree, commit, into);
  const kept = join(vectors, `spool-${format}-${commit}`);
  rmSync(kept, { recursive: true, force: true });
  renameSync(into, kept);
  process.stdout.write(`${describeSpool(kept)}\n`);
} else {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-spool-"));
  await deliverSpool(resolve(values.read), folder, "single", tree);
  rmSync(folder, { recursive: true });
  process.stdout.write(`${commit} has delivered all that is in ${values.read}\n`);
}
process.exit(0);
