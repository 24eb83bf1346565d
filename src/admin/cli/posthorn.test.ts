import assert from "node:assert/strict";
import { test } from "node:test";
import { PosthornError } from "../../foundation/error.ts";
import { MESSAGE, NOON, posthorn } from "../../testing/command-world.ts";
import { commands } from "./commands.ts";
import { commandsReference } from "./help.ts";

test("an unknown command gets the nearest known one", async () => {
  const { code, err } = await posthorn(["quue"]);
  assert.equal(code, 64);
  assert.match(err, /^posthorn: unknown command "quue"; did you mean queue\?\n/);
  assert.match((await posthorn(["queue", "lst"])).err, /did you mean list\?/);
  assert.match((await posthorn(["queue"])).err, /there are: list, show, count/);
});

test("every command explains itself, and the reference has them all", async () => {
  const reference = commandsReference();
  for (const { name } of commands) {
    const { code, out } = await posthorn([...name.split(" "), "--help"]);
    assert.equal(code, 0, name);
    assert.ok(out.startsWith(`posthorn ${name}`), name);
    assert.match(reference, new RegExp(`^## posthorn ${name}$`, "m"));
  }
  assert.match((await posthorn(["help"])).out, /queue list/);
});

test("--help behind the first word of a group explains all its commands", async () => {
  for (const option of ["--help", "-h"]) {
    const { code, out } = await posthorn(["tls", option]);
    assert.equal(code, 0);
    assert.match(out, /^posthorn tls failures /m);
    assert.match(out, /^posthorn tls probe /m);
  }
});

test("mistakes in options are told with the nearest one, and with what was expected", async () => {
  for (const [argv, words] of [
    [["queue", "list", "--sendr", "x"], /unknown option --sendr; did you mean --sender\?/],
    [["queue", "list", "--older", "5"], /--older: expected a duration/],
    [["queue", "list", "--state", "lost"], /--state: expected queued, deferred, held, dead/],
    [["queue", "list", "extra"], /"extra" is one argument too many/],
    [["queue", "show"], /MESSAGE\|ENVELOPE is missing/],
    [["queue", "show", "../x"], /neither a message id/],
    [["queue", "hold"], /say which/],
    [["queue", "hold", MESSAGE, "--all"], /in one way only/],
    [["queue", "list", "--limit"], /--limit/],
    [["log"], /say one of/],
    [["pause", "everything"], /expected in, out or local/],
  ] as const) {
    const { code, err, asked } = await posthorn(argv);
    assert.equal(code, 64, argv.join(" "));
    assert.match(err, words);
    assert.match(err, /--help says how to use it\n$/);
    assert.deepEqual(asked, []);
  }
});

test("an error of the server is told with what to do, and nothing else", async () => {
  const error = new PosthornError("CONTROL_UNREACHABLE", { message: "no server", advice: "start it" });
  const { code, err } = await posthorn(["status"], { world: { connectControl: () => Promise.reject(error) } });
  assert.equal(code, 75);
  assert.equal(err, "no server\nstart it\n");
  const bug = await posthorn(["status"], { answers: { status: new TypeError("x is not a function") } });
  assert.equal(bug.code, 70);
  assert.equal(bug.err, "posthorn: x is not a function\n");
});

test("who may change may look too, though the socket for queries be closed to them", async () => {
  const error = new PosthornError("CONTROL_UNREACHABLE", { message: "not for you", advice: "ask root" });
  const tried: string[] = [];
  const only = (open: string) => (path: string) => {
    tried.push(path);
    if (path !== open) return Promise.reject(error);
    return Promise.resolve({ call: () => Promise.reject(new Error("asked")), [Symbol.dispose]() {} } as never);
  };
  assert.match((await posthorn(["status"], { world: { connectControl: only("change") } })).err, /asked/);
  assert.deepEqual(tried, ["query", "change"]);
  assert.match((await posthorn(["reload"], { world: { connectControl: only("query") } })).err, /not for you/);
  assert.deepEqual(tried, ["query", "change", "change"]);
});

test("each of several problems has a line of its own, with nothing in it that a terminal obeys", async () => {
  const error = new PosthornError("SETTINGS_INVALID", { message: "a:1:1: x\na:2:1: \x1b[2J", advice: "mend them" });
  const { code, err } = await posthorn(["status"], { world: { locate: () => Promise.reject(error) } });
  assert.equal(code, 78);
  assert.equal(err, "a:1:1: x\na:2:1: \\x1b[2J\nmend them\n");
});

test("domains may be named as people read them and addresses as log lines have them: the queue has one writing of each", async () => {
  const answers = { "queue.retry": { envelopes: 0, suspended: 2 }, "queue.hold": { envelopes: 1 } };
  const retried = await posthorn(["schedule", "B\u00fccher.example."], { answers });
  assert.deepEqual(retried.asked[0]?.[2], { selector: { by: "domain", domain: "xn--bcher-kva.example" } });
  assert.match(retried.out, /^2 envelopes suspended, and left so: /);
  assert.equal(retried.code, 1);
  for (const [option, selector] of [
    [["--domain", "B\u00fccher.example"], { by: "domain", domain: "xn--bcher-kva.example" }],
    [["--sender", "<Joe@b\u00fccher.example>"], { by: "sender", sender: "Joe@xn--bcher-kva.example" }],
    [["--sender", "<>"], { by: "sender", sender: "" }],
  ] as const) {
    const held = await posthorn(["queue", "hold", ...option], { answers });
    assert.deepEqual((held.asked[0]?.[2] as { selector?: unknown } | undefined)?.selector, selector);
  }
  const listed = await posthorn(["queue", "list", "--recipient", "<x@B\u00fccher.example>"], { portions: [] });
  assert.equal((listed.asked[0]?.[2] as { recipient?: string } | undefined)?.recipient, "x@xn--bcher-kva.example");
});

test("a duration is whole milliseconds, and one that no calendar holds is refused", async () => {
  const traced = await posthorn(["trace", "on", "dns", "--for", "1.1h", "--detach"], {
    answers: { "trace.on": { topic: "dns", untilAt: NOON } },
  });
  assert.deepEqual(traced.asked, [["change", "trace.on", { topic: "dns", filter: undefined, forMs: 3_960_000 }]]);
  for (const argv of [
    ["suspend", "all", "--for", "100000000d"],
    ["schedule", "x.test", "--in", "99999999999999999999999w"],
  ]) {
    const { code, err, asked } = await posthorn(argv);
    assert.deepEqual([code, asked], [64, []], argv.join(" "));
    assert.match(err, /36500d at most/);
  }
});

test("options in front of the command are told what to type", async () => {
  const misplaced = await posthorn(["-f", "my s.yaml", "show", "routes"]);
  assert.equal(misplaced.code, 64);
  assert.equal(misplaced.err, 'posthorn: options stand behind the command: posthorn show routes -f "my s.yaml"\n');
  const group = await posthorn(["-f", "s.yaml", "show"]);
  assert.equal(group.err, "posthorn: options stand behind the command: posthorn show -f s.yaml\n");
  assert.match((await posthorn(["--jso", "nothing"])).err, /options stand behind the command; posthorn help lists/);
});
