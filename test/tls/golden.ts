import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { TestContext } from "node:test";
import type { TlsFinding } from "../../src/service/tls/finding/finding.ts";

/**
 * What failures are called, compared with a file that people read and agree to. `UPDATE_GOLDEN=1` writes the file anew; then
 * read it as a newcomer would. Times and sizes, which differ from run to run, are masked.
 */
export class Golden {
  readonly #path: string;
  readonly #known: ReadonlyMap<string, string>;
  readonly #seen = new Map<string, string>();

  constructor(name: string) {
    this.#path = join(import.meta.dirname, name);
    this.#known = new Map(existsSync(this.#path) ? sectionsOf(readFileSync(this.#path, "utf8")) : []);
    after(() => {
      if (process.env["UPDATE_GOLDEN"] === "1") this.#write();
    });
  }

  /** One failure, provoked for real. `provoke` may skip when a program it needs is not installed. */
  case(title: string, provoke: (t: TestContext) => Promise<TlsFinding | undefined>): void {
    this.text(title, async (t) => {
      const finding = await provoke(t);
      return finding === undefined ? undefined : textOf(finding);
    });
  }

  /** The same of whatever people read. */
  text(title: string, provoke: (t: TestContext) => Promise<string | undefined>): void {
    test(title, { timeout: 120_000 }, async (t) => {
      const said = await provoke(t);
      if (said === undefined) return;
      const text = mask(said);
      this.#seen.set(title, text);
      if (process.env["UPDATE_GOLDEN"] === "1") return;
      assert.equal(text, this.#known.get(title));
    });
  }

  #write(): void {
    const all = [...new Map([...this.#known, ...this.#seen])];
    writeFileSync(this.#path, all.map(([title, text]) => `## ${title}\n${text}\n`).join("\n"));
  }
}

function textOf(finding: TlsFinding): string {
  const isNothing = /nothing to mend/i.test(finding.cure);
  assert.equal(isNothing, finding.fault === "nobody", `the cure fits the fault: ${finding.fault}, ${finding.cure}`);
  const alert = finding.alert === undefined ? "" : `, alert ${finding.alert.name} from ${finding.alert.from}`;
  return `[${finding.reason}, fault: ${finding.fault}${alert}]\n${finding.sentence}\n> ${finding.cure}`;
}

function mask(text: string): string {
  return text
    .replaceAll(/(\[127\.0\.0\.1\]):[0-9]+/g, "$1:N")
    .replaceAll(/\b[0-9.]+ (?:ms|s)\b/g, "N ms")
    .replaceAll(/\b[0-9]+ of [0-9]+ bytes/g, "N of N bytes")
    .replaceAll(/\b[0-9]+ bytes/g, "N bytes")
    .replaceAll(/\b[0-9a-f]{64}\b/g, "HEX")
    .replaceAll(/\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b/g, "DATE");
}

function sectionsOf(file: string): readonly (readonly [string, string])[] {
  return file
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const [title = "", ...lines] = section.split("\n");
      return [title, lines.join("\n").trim()];
    });
}
