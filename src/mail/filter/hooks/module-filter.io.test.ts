import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { testFacts, testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import type { Filter, FilterFacts, MailVerdict } from "../filter.ts";
import { wholeOf } from "../kept-content.ts";
import { loadHooks } from "./load-module.io.ts";
import { moduleFilter } from "./module-filter.io.ts";
import type { ModuleSettings } from "./settings.ts";

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "posthorn-hooks-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function written(t: TestContext, code: string): string {
  const file = join(folder(t), "hooks.ts");
  writeFileSync(file, code);
  return file;
}

const RUN = { stuckAfter: 1200, memory: 64 * 2 ** 20 };
const never = new AbortController().signal;

/** Everything holds in the process and in a thread alike. */
const ways: readonly Pick<ModuleSettings, "worker">[] = [{ worker: false }, { worker: true }];

for (const way of ways) {
  const where = way.worker ? "in a thread" : "in the process";
  const open = async (t: TestContext, code: string): Promise<{ filter: Filter; told: readonly string[] }> => {
    const world = testFilterWorld();
    const filter = await moduleFilter("mine", { file: written(t, code), ...RUN, ...way }, world);
    t.after(() => filter.close());
    return { filter, told: world.told };
  };
  const rcpt = (filter: Filter, recipient: string, facts: FilterFacts = testFacts()) => {
    const dialogue = filter.open(facts);
    const asked = dialogue.ask({ stage: "rcpt", facts, recipient: { address: recipient, parameters: [] } }, never);
    return asked.finally(() => dialogue.end());
  };
  const judged = async (filter: Filter, text: string): Promise<MailVerdict> => {
    const mail = testMail(text);
    const dialogue = filter.open(mail.facts);
    return dialogue.judge(mail, never).finally(() => dialogue.end());
  };

  test(`hooks ${where} are asked at their stages, with what is known, and refuse`, async (t) => {
    const { filter } = await open(
      t,
      `import { defineHooks, reject, tag, type RcptEvent } from "posthorn";
       import { isBad } from "./bad.ts";
       export default defineHooks({
         onConnect: ({ session }) => tag(session.client.address === "192.0.2.99" ? "known" : "unknown"),
         async onRcpt({ recipient, mail, session }: RcptEvent) {
           await null;
           if (isBad(recipient)) return reject(550, "5.7.1", \`\${mail.sender} may not write to \${recipient} from \${session.helo}\`);
         },
       });`.replace("./bad.ts", "data:text/javascript,export function isBad(a) { return a.startsWith('bad'); }"),
    );
    assert.deepEqual([...filter.stages].sort(), ["connect", "rcpt"]);
    const facts = testFacts();
    const dialogue = filter.open(facts);
    assert.deepEqual(await dialogue.ask({ stage: "connect", facts }, never), { kind: "proceed", tags: ["known"] });
    dialogue.end();
    assert.deepEqual(await rcpt(filter, "good@example.org"), { kind: "proceed" });
    assert.deepEqual(await rcpt(filter, "bad@example.org"), {
      kind: "refuse",
      reply: {
        code: 550,
        status: "5.7.1",
        lines: ["alice@example.net may not write to bad@example.org from client.example.net"],
      },
    });
    assert.match(filter.health().text, /hooks\.ts/);
  });

  test(`hooks ${where} keep a state for each session and none between them`, async (t) => {
    const { filter } = await open(
      t,
      `import { defineHooks, defer } from "posthorn";
       export default defineHooks({
         onRcpt({ state }) { state.count = (state.count ?? 0) + 1; return state.count > 1 ? defer(\`\${state.count} are too many\`) : undefined; },
       });`,
    );
    const facts = testFacts();
    const question = { stage: "rcpt", facts, recipient: { address: "a@example.org", parameters: [] } } as const;
    const [one, two] = [filter.open(facts), filter.open(facts)];
    assert.equal((await one.ask(question, never)).kind, "proceed");
    assert.equal((await two.ask(question, never)).kind, "proceed");
    assert.equal((await one.ask(question, never)).kind, "refuse");
    one.end();
    two.end();
  });

  test(`hooks ${where} read a mail's fields and body, and change them`, async (t) => {
    const { filter } = await open(
      t,
      `import { defineHooks, addHeader, changeHeader, replaceBody, score, quarantine } from "posthorn";
       export default defineHooks({
         async onMessage(mail) {
           let bytes = 0;
           for await (const piece of mail.body()) bytes += piece.length;
           async function* upper() { for await (const piece of mail.body()) yield Buffer.from(piece).toString().toUpperCase(); yield "\\nend"; }
           const text = await mail.text(5);
           return [
             addHeader("X-Seen", \`\${mail.subject}; \${bytes} octets; \${text}; \${mail.recipients.length} to \${mail.headers("To").join()}\`),
             changeHeader("Subject", "changed"), replaceBody(upper()), score(1), quarantine("odd"),
           ];
         },
       });`,
    );
    const body = "hello world\r\n".repeat(20_000);
    const verdict = await judged(filter, `Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nTo: a\r\nTo: b\r\n\r\n${body}`);
    assert.deepEqual(verdict.fate, { kind: "quarantine" });
    assert.equal(verdict.because, "odd");
    const [added, changed, replaced] = verdict.edits ?? [];
    assert.ok(added?.edit === "add-field" && replaced?.edit === "replace-body");
    assert.match(
      Buffer.from(added.value.replace(/^=\?UTF-8\?B\?|\?=.*$/gs, ""), "base64").toString(),
      /^Grüße; 260000 octets/,
    );
    assert.deepEqual(changed, { edit: "change-field", name: "Subject", nth: 1, value: "changed" });
    assert.equal((await wholeOf(replaced.body.read())).toString(), `${body.toUpperCase()}\r\nend`);
  });

  test(`hooks ${where} that throw, or say what makes no sense, fail their question and no other`, async (t) => {
    const { filter } = await open(
      t,
      `export default {
         onRcpt({ recipient }) {
           if (recipient.startsWith("throw")) throw new Error("no such thing");
           if (recipient.startsWith("odd")) return { effect: "explode" };
           if (recipient.startsWith("reject")) return Promise.reject("as text");
         },
       };`,
    );
    await assert.rejects(rcpt(filter, "throw@example.org"), {
      code: "FILTER_FAILED",
      message: /onRcpt of .*hooks\.ts threw: no such thing \(hooks\.ts:3:\d+\)/,
    });
    await assert.rejects(rcpt(filter, "odd@example.org"), { code: "FILTER_FAILED", message: /said "explode"/ });
    await assert.rejects(rcpt(filter, "reject@example.org"), { code: "FILTER_FAILED", message: /as text/ });
    assert.deepEqual(await rcpt(filter, "fine@example.org"), { kind: "proceed" });
  });

  test(`a module ${where} that cannot be loaded, or has no hooks, is told with the reason`, async (t) => {
    const load = (code: string) => open(t, code);
    await assert.rejects(load("export default {"), { code: "SETTINGS_INVALID", message: /hooks\.ts cannot be loaded/ });
    await assert.rejects(
      load("export default {\n  onRcpt() { return 1 === ; },\n};"),
      /cannot be loaded: .+ \(hooks\.ts:2:\d+\)/,
    );
    await assert.rejects(load("export const a = 1;"), /has no hooks to give/);
    await assert.rejects(
      load("export default { onRctp() {} };"),
      /has onRctp, and no hook is called so; did you mean onRcpt\?/,
    );
    await assert.rejects(load("export default {};\nthrow new Error('at the top');"), /at the top \(hooks\.ts:2:7\)/);
  });
}

test("an endless loop ends its thread and nobody else's, and the next question finds another thread", async (t) => {
  const file = written(
    t,
    `export default {
       async onRcpt({ recipient }) {
         if (recipient.startsWith("loop")) for (;;);
         if (recipient.startsWith("slow")) await new Promise(() => {});
       },
     };`,
  );
  const world = testFilterWorld();
  const filter = await moduleFilter("mine", { file, ...RUN, worker: true }, world);
  t.after(() => filter.close());
  const facts = testFacts();
  const ask = (recipient: string, signal: AbortSignal = never) => {
    const dialogue = filter.open(facts);
    return dialogue
      .ask({ stage: "rcpt", facts, recipient: { address: recipient, parameters: [] } }, signal)
      .finally(() => dialogue.end());
  };
  await assert.rejects(ask("loop@example.org"), { code: "FILTER_FAILED", message: /has ended: it is stuck/ });
  assert.deepEqual(await ask("fine@example.org"), { kind: "proceed" });
  // One that only waits is no reason to end the thread.
  const aborting = new AbortController();
  const slow = ask("slow@example.org", aborting.signal);
  await new Promise((resolve) => setTimeout(resolve, 3 * RUN.stuckAfter));
  assert.deepEqual(await ask("fine@example.org"), { kind: "proceed" });
  aborting.abort();
  await assert.rejects(slow, /did not answer in time/);
  assert.deepEqual(world.told.filter((line) => line.startsWith("filter.hook-thread-ended")).length, 1);
});

test("a thread that needs more memory than it may have is ended, and another begins", async (t) => {
  const file = written(
    t,
    `const kept = [];
     export default {
       onRcpt({ recipient }) {
         if (recipient.startsWith("grow")) for (;;) kept.push(new Array(1000).fill({}).map((_, at) => ({ at })));
       },
     };`,
  );
  const filter = await moduleFilter(
    "mine",
    { file, stuckAfter: 60_000, memory: 32 * 2 ** 20, worker: true },
    testFilterWorld(),
  );
  t.after(() => filter.close());
  const facts = testFacts();
  const ask = (recipient: string) => {
    const dialogue = filter.open(facts);
    return dialogue
      .ask({ stage: "rcpt", facts, recipient: { address: recipient, parameters: [] } }, never)
      .finally(() => dialogue.end());
  };
  await assert.rejects(ask("grow@example.org"), { code: "FILTER_FAILED", message: /memory/ });
  assert.deepEqual(await ask("fine@example.org"), { kind: "proceed" });
});

test("a module is loaded anew when one of its files has changed, and only then", async (t) => {
  const where = folder(t);
  const [file, part] = [join(where, "hooks.ts"), join(where, "part.ts")];
  writeFileSync(
    file,
    `import { mark } from "./part.ts"; export default { onRcpt: () => ({ effect: "tag", tags: [mark] }) };`,
  );
  writeFileSync(part, `export const mark: string = "one";`);
  const first = await loadHooks({ file }, systemClock);
  assert.equal(await loadHooks({ file }, systemClock), first);
  writeFileSync(part, `export const mark: string = "twenty";`);
  const second = await loadHooks({ file }, systemClock);
  assert.notEqual(second, first);
  // Not called as the filter calls it: only what the module holds matters here.
  const call = second.onRcpt as unknown as () => { tags: readonly string[] };
  assert.deepEqual(call().tags, ["twenty"]);
});

test("hooks within a settings file are found by their place", async (t) => {
  const file = written(
    t,
    `import { defineConfig, defineHooks, accept } from "posthorn";
     export default defineConfig({ filters: { "my.own": { hooks: defineHooks({ onData: () => accept() }) } } });`,
  );
  const hooks = await loadHooks({ file, within: ["filters", "my.own", "hooks"] }, systemClock);
  assert.deepEqual(Object.keys(hooks), ["onData"]);
  await assert.rejects(
    loadHooks({ file, within: ["filters", "other"] }, systemClock),
    /at filters\.other has no hooks/,
  );
});

test("what hooks let slip in a thread is told and ends nothing", async (t) => {
  const world = testFilterWorld();
  const filter = await moduleFilter("mine", { file: written(t, SLIPPING), ...RUN, worker: true }, world);
  t.after(() => filter.close());
  const facts = testFacts();
  const dialogue = filter.open(facts);
  assert.deepEqual(await dialogue.ask({ stage: "connect", facts }, never), { kind: "proceed" });
  const has = (text: string): boolean => world.told.some((line) => line.includes(text));
  for (let look = 0; look < 6000 && !(has("nobody waits") && has("a timer") && has("a first timer")); look++)
    await new Promise((resolve) => setTimeout(resolve, 25));
  assert.ok(has("nobody waits") && has("a timer"), world.told.join("\n"));
  assert.ok(has("at its loading") && has("a first timer"), world.told.join("\n"));
  assert.deepEqual(await dialogue.ask({ stage: "connect", facts }, never), { kind: "proceed" });
  dialogue.end();
});

const SLIPPING = `
Promise.reject(new Error("at its loading"));
setTimeout(() => { throw new Error("a first timer"); }, 1);
export default {
  onConnect() {
    Promise.reject(new Error("nobody waits"));
    setTimeout(() => { throw new Error("a timer"); }, 1);
  },
};`;

test("what hooks let slip in the process is told and ends nothing, and what is nobody's hook ends it as ever", (t) => {
  const own = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  // In a process of its own: the test's has ears for such things already.
  const file = written(
    t,
    `import { moduleFilter } from ${own("./module-filter.io.ts")};
     import { testFacts, testFilterWorld } from ${own("../../../testing/filter-mail.ts")};
     const world = testFilterWorld();
     const settings = { file: ${JSON.stringify(written(t, SLIPPING))}, worker: false, stuckAfter: 1000, memory: 1e8 };
     const filter = await moduleFilter("mine", settings, world);
     const facts = testFacts();
     const dialogue = filter.open(facts);
     const ask = () => dialogue.ask({ stage: "connect", facts }, new AbortController().signal);
     console.log((await ask()).kind);
     setTimeout(async () => {
       console.log(world.told.join("\\n"));
       Promise.reject(new Error("our own"));
     }, 100);
     setTimeout(() => console.log("still there"), 5000);`,
  );
  const { stdout, stderr, status } = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 30_000 });
  assert.match(
    stdout,
    /^proceed\n(?=[^]*: nobody waits)(?=[^]*: a timer)(?=[^]*: at its loading)(?=[^]*: a first timer)/,
  );
  assert.doesNotMatch(stdout, /still there/);
  assert.match(stderr, /our own/);
  assert.notEqual(status, 0);
});

test("hooks that call for the end of the process have failed, and the process goes on", (t) => {
  const own = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const module = (code: string): string => JSON.stringify(written(t, code));
  const file = written(
    t,
    `import { moduleFilter } from ${own("./module-filter.io.ts")};
     import { testFacts, testFilterWorld } from ${own("../../../testing/filter-mail.ts")};
     const world = testFilterWorld();
     const filterOf = (file) => moduleFilter("mine", { file, worker: false, stuckAfter: 1000, memory: 1e8 }, world);
     const tell = (thrown) => console.log(thrown.message);
     await filterOf(${module("process.exit(3); export default { onConnect() {} };")}).catch(tell);
     const filter = await filterOf(${module("export default { async onConnect() { await null; process.exit(4); } };")});
     const facts = testFacts();
     await filter.open(facts).ask({ stage: "connect", facts }, new AbortController().signal).catch(tell);
     process.exit(5);`,
  );
  const { stdout, status } = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 30_000 });
  assert.match(stdout, /hooks\.ts cannot be loaded: process\.exit\(3\) would end the server \(hooks\.ts:1:\d+\)/);
  assert.match(stdout, /onConnect of \S+ threw: process\.exit\(4\) would end the server \(hooks\.ts:1:\d+\)/);
  assert.equal(status, 5);
});
