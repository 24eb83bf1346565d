/**
 * A server under mixed load for hours, whose memory and descriptors may not grow and whose account of mail must be exact:
 *
 *     npm run soak -- [--minutes 480] [--layout split] [--rate 1] [--seed N] [--save] [--sources]
 *
 * Clients: one mail and many, small and large, plain and with TLS, with logins, slow ones, and those that go away in the middle of a
 * handshake or a mail. Mail goes into Maildirs, over SMTP with and without TLS, over LMTP; some of it is put off first, some comes
 * back. A hook sees each, people look at the queue, settings are read again. It takes a third to half of a core at `--rate 1`.
 *
 * Prints a table; `--save` writes bench/results/DATE-soak-LAYOUT.md. Exits with 1 when anything is not as it should be: what
 * that is stands in `soak/judge.ts`. Under ten minutes the verdict on memory says little: caches still fill.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { LAYOUTS, ROOT } from "../test/server.ts";
import { reportOf } from "./soak/report.ts";
import { soak } from "./soak/soak.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values } = scriptArguments({
  options: {
    minutes: { type: "string", default: "480" },
    layout: { type: "string", default: "split" },
    rate: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    save: { type: "boolean", default: false },
    sources: { type: "boolean", default: false },
  },
});
const layout = LAYOUTS.find((one) => one === values.layout);
if (layout === undefined) throw new Error(`no layout ${values.layout}: ${LAYOUTS.join(", ")}`);
const [minutes, rate, seed] = [Number(values.minutes), Number(values.rate), Number(values.seed)];
if (!(minutes > 0 && rate > 0 && Number.isInteger(seed)))
  throw new Error("--minutes and --rate are numbers above 0, --seed is whole");

const options = {
  layout,
  ms: minutes * 60_000,
  rate,
  seed,
  isEmitted: !values.sources,
  tell: (line: string) => void process.stdout.write(`${line}\n`),
};
const report = await soak(options);
const text = reportOf(report, options);
process.stdout.write(`\n${text}`);
if (values.save) {
  const file = join(ROOT, "bench", "results", `${new Date().toISOString().slice(0, 10)}-soak-${layout}.md`);
  writeFileSync(file, text);
  process.stdout.write(`\nwritten to ${file}\n`);
}
process.exit(report.problems.length === 0 ? 0 : 1);
