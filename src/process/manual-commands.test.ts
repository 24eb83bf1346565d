import { test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseGiven } from "../admin/cli/command.ts";
import { commands } from "../admin/cli/commands.ts";
import { messageOf } from "../foundation/error.ts";

const root = resolve(import.meta.dirname, "../..");
const pages = ["README.md", "docs/security.md", "docs/faults.md"].concat(
  readdirSync(join(root, "docs/manual"))
    .filter((page) => page.endsWith(".md"))
    .map((page) => join("docs/manual", page)),
);

/** `posthorn …` as lines to type have it: indented, behind a prompt or a pipe, in front of a remark. */
const TYPED = /^(?: {4}(?:\$ )?|)(?:[^`\n]* \| )?(?:\/usr\/bin\/|node bin\/)?posthorn(?:\.js)? (\S.*)$/gm;
const WORD = /"([^"]*)"|'([^']*)'|(\S+)/g;

function typedIn(text: string): readonly (readonly string[])[] {
  // A line that begins at the margin is one to type within a fence, and prose elsewhere.
  const blocks = [...text.matchAll(/^```(?:sh)?\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block);
  const lines = text
    .replace(/^```[\s\S]*?^```$/gm, "")
    .split("\n")
    .filter((line) => line.startsWith("    "));
  return [...blocks, lines.join("\n")]
    .flatMap((block) => [...block.matchAll(TYPED)])
    .map(([, line = ""]) => line.replace(/ {2,}.*$| [#>].*$/, ""))
    .map((line) => [...line.matchAll(WORD)].map(([, double, single, bare]) => double ?? single ?? bare ?? ""));
}

test("every command that the manual has one type is understood as it stands", () => {
  const wrong: string[] = [];
  let count = 0;
  for (const page of pages)
    for (const words of typedIn(readFileSync(join(root, page), "utf8"))) {
      count += 1;
      const command = [3, 2, 1].flatMap((length) => {
        const said = words.slice(0, length).join(" ");
        return commands.find(({ name }) => name === said) ?? [];
      })[0];
      // It has options of its own, those of sendmail.
      if (command?.name === "send") continue;
      try {
        assert.ok(command !== undefined, "there is no such command");
        parseGiven(command, words.slice(command.name.split(" ").length));
      } catch (thrown) {
        wrong.push(`${page}: posthorn ${words.join(" ")}: ${messageOf(thrown)}`);
      }
    }
  assert.deepEqual(wrong, []);
  assert.ok(count > 100, `${count} commands found`);
});

test("every command that the manual speaks of exists", () => {
  const unknown = pages.flatMap((page) =>
    [...readFileSync(join(root, page), "utf8").matchAll(/`posthorn ([a-z][^`]*)`/g)]
      .map(([, said = ""]) => said.replace(/\s+/g, " ").replace(/ \.{3}.*/, ""))
      .filter((said) => !commands.some(({ name }) => `${said} `.startsWith(`${name} `) || name.startsWith(`${said} `)))
      .map((said) => `${page}: posthorn ${said}`),
  );
  assert.deepEqual(unknown, []);
});

function headingsOf(page: string): readonly string[] {
  return [...readFileSync(page, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test("every link of the manual leads to a page, and to a heading that is there", () => {
  const dead: string[] = [];
  for (const page of pages)
    for (const [, link = ""] of readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = "", heading] = link.split("#");
      const target = file === "" ? join(root, page) : join(root, dirname(page), file);
      if (!existsSync(target)) dead.push(`${page}: ${link}`);
      else if (heading !== undefined && !headingsOf(target).includes(heading)) dead.push(`${page}: ${link}`);
    }
  assert.deepEqual(dead, []);
});
