import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFile, chmod, mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readIncludeFile, type IncludedList } from "./include-file.io.ts";

function textOf(list: IncludedList): string {
  return list.kind === "failed" ? list.text : list.targets.map(({ kind }) => kind).join(" ");
}

test("a list is read below its folders only, as a regular file that not everybody may write to", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-include-"));
  try {
    const file = join(folder, "staff");
    await writeFile(file, "jane@example.org\n# a comment\njoe, |/bin/true\n");
    assert.equal(textOf(await readIncludeFile(file, [folder])), "address address command");
    assert.match(textOf(await readIncludeFile(file, [`${folder}x`])), /include-folders/);
    assert.match(textOf(await readIncludeFile(`${folder}/../${folder}/staff`, [folder])), /without \. and \.\./);
    assert.match(textOf(await readIncludeFile("staff", [folder])), /absolute/);
    assert.match(textOf(await readIncludeFile(folder, [folder])), /regular file/);
    assert.match(textOf(await readIncludeFile(join(folder, "nobody"), [folder])), /nobody: .*ENOENT/);
    await symlink("/etc/passwd", join(folder, "link"));
    assert.match(textOf(await readIncludeFile(join(folder, "link"), [folder])), /ELOOP/);
    const elsewhere = await mkdtemp(join(folder, "elsewhere-"));
    await writeFile(join(elsewhere, "list"), "joe\n");
    const lists = await mkdtemp(join(folder, "lists-"));
    await symlink(elsewhere, join(lists, "sub"));
    assert.match(textOf(await readIncludeFile(join(lists, "sub", "list"), [lists])), /leads out of its folder/);
    // What the settings name may be a link, and links may go where lists are allowed.
    assert.equal(textOf(await readIncludeFile(join(lists, "sub", "list"), [join(lists, "sub")])), "address");
    assert.equal(textOf(await readIncludeFile(join(lists, "sub", "list"), [lists, elsewhere])), "address");
    await chmod(file, 0o666);
    assert.match(textOf(await readIncludeFile(file, [folder])), /everybody may write/);
    await chmod(file, 0o644);
    await writeFile(file, "jane@example.org\n|\n");
    assert.match(textOf(await readIncludeFile(file, [folder])), /staff:2: /);
    await writeFile(file, "");
    assert.match(textOf(await readIncludeFile(file, [folder])), /staff: .*may be just being written/);
    const before = Date.now() / 1000 - 31;
    await utimes(file, before, before);
    assert.equal(textOf(await readIncludeFile(file, [folder])), "");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a pipe or a file without bounds in a list's place is told at once; one that grows is read as far as it went", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-include-"));
  try {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    assert.match(textOf(await readIncludeFile(join(folder, "pipe"), [folder])), /regular file/);
    const list = join(folder, "list");
    await writeFile(list, "");
    await truncate(list, 5 * 1024 * 1024);
    assert.match(textOf(await readIncludeFile(list, [folder])), /more than \d+ bytes/);
    await truncate(list, 0);
    const done = new AbortController();
    const growing = (async () => {
      while (!done.signal.aborted) await appendFile(list, "joe@example.org\n".repeat(1000));
    })();
    for (let time = 0; time < 5; time++)
      assert.match(textOf(await readIncludeFile(list, [folder])), /^(?:address ?)*$|more than \d+ bytes/);
    done.abort();
    await growing;
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a name that is a file by turns, and a link to what is none of ours, never brings what the link leads to", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-include-"));
  try {
    const [list, secret] = [join(folder, "lists", "list"), join(folder, "secret")];
    execFileSync("mkdir", [join(folder, "lists")]);
    await writeFile(secret, "secret@example.org, |/bin/true\n");
    await writeFile(list, "joe@example.org\n");
    const done = new AbortController();
    const swapping = (async () => {
      while (!done.signal.aborted) {
        await symlink(secret, join(folder, "link"));
        await rename(join(folder, "link"), list);
        await writeFile(join(folder, "plain"), "joe@example.org\n");
        await rename(join(folder, "plain"), list);
      }
    })();
    const seen = new Set<string>();
    for (let time = 0; time < 200; time++)
      seen.add(textOf(await readIncludeFile(list, [join(folder, "lists")])).replace(/^.*(?=ELOOP).*$/, "ELOOP"));
    done.abort();
    await swapping;
    assert.ok(seen.has("address"));
    assert.deepEqual(
      [...seen].filter((text) => text !== "address" && text !== "ELOOP"),
      [],
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});
