import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { TABLE_SERVICES, type TableService } from "../table.ts";
import { tableDialogue, type TableDialogue } from "./dialogue.ts";

/** A dialogue that is ready for requests. */
function readyDialogue(...services: readonly string[]): TableDialogue {
  const dialogue = tableDialogue("devs");
  for (const service of services) assert.deepEqual(dialogue.onLine(`register|${service}`), { kind: "nothing" });
  assert.deepEqual(dialogue.onLine("register|ready"), { kind: "ready" });
  return dialogue;
}

const AT = 1_713_795_082_354.255;

function askOf(dialogue: TableDialogue, service: TableService, key: string): { id: string; line: string } {
  const asked = dialogue.ask(service, key, AT);
  assert.ok(asked.kind === "line", asked.kind === "refused" ? asked.text : "");
  return asked;
}

/** The dialogues of smtpd-tables(7) (OpenBSD 7.8), each with the id of the page in place of ours. */
const RECORDED: readonly {
  readonly says: string;
  readonly service: TableService;
  readonly key: string;
  readonly request: string;
  readonly result: string;
  readonly answer: unknown;
}[] = [
  {
    says: "an address that is not in the table",
    service: "network",
    key: "192.168.0.7",
    request: "table|0.1|TIME|devs|check|netaddr|e5862859|192.168.0.7",
    result: "check-result|e5862859|not-found",
    answer: { kind: "none" },
  },
  {
    says: "a user",
    service: "userinfo",
    key: "op",
    request: "table|0.1|TIME|devs|lookup|userinfo|f993c74|op",
    result: "lookup-result|f993c74|found|1000:1000:/home/op",
    answer: { kind: "found", value: "1000:1000:/home/op", where: "devs:userinfo" },
  },
  {
    says: "the next address to connect from, answered with the word of another operation",
    service: "source",
    key: "anything",
    request: "table|0.1|TIME|devs|fetch|source|189bd3ee",
    result: "lookup-result|189bd3ee|found|192.168.1.7",
    answer: { kind: "found", value: "192.168.1.7", where: "devs:source" },
  },
  {
    says: "an alias",
    service: "alias",
    key: "op",
    request: "table|0.1|TIME|devs|lookup|alias|b72508d|op",
    result: "lookup-result|b72508d|found|op@openbsd.org, other",
    answer: { kind: "found", value: "op@openbsd.org, other", where: "devs:alias" },
  },
];

for (const { says, service, key, request, result, answer } of RECORDED) {
  test(`${says} is asked for and answered as in OpenSMTPD's manual`, () => {
    const dialogue = readyDialogue("netaddr", "userinfo", "source", "alias");
    const { id, line } = askOf(dialogue, service, key);
    const theirs = request.split("|")[6] ?? "";
    assert.equal(line, request.replace(theirs, id).replace("TIME", "1713795082.354255"));
    assert.deepEqual(dialogue.onLine(result.replace(theirs, id)), { kind: "answer", id, answer });
    assert.equal(dialogue.waiting, 0);
  });
}

test("the handshake says who speaks which protocol for which table, and ends with ready", () => {
  assert.deepEqual(tableDialogue("devs").greeting, [
    "config|smtpd-version|7.8.0",
    "config|protocol|0.1",
    "config|tablename|devs",
    "config|ready",
  ]);
});

test("services are those that the program registered, under our names", () => {
  const dialogue = tableDialogue("devs");
  assert.equal(dialogue.services, undefined);
  for (const line of ["register|netaddr", "register|mailaddr", "register|mailaddrmap", "register|ready"])
    dialogue.onLine(line);
  assert.deepEqual(dialogue.services, ["network", "address"]);
  assert.deepEqual(readyDialogue("string").services, ["certificate", "tls-policy", "string"]);
});

test("a service that was not registered is refused without asking", () => {
  const refused = readyDialogue("alias").ask("credentials", "op", AT);
  assert.deepEqual(refused, {
    kind: "refused",
    text: "it does not answer for credentials, only for alias",
    isUnknown: true,
  });
});

test("a program that registers nothing, only what nobody knows, or speaks otherwise is broken", () => {
  const said = (...lines: string[]): string => {
    const dialogue = tableDialogue("devs");
    const last = lines.map((line) => dialogue.onLine(line)).at(-1);
    return last?.kind === "broken" ? last.text : JSON.stringify(last);
  };
  assert.equal(said("register|ready"), "it registered no service");
  assert.match(said("register|relayhost", "register|ready"), /^it registered only relayhost/);
  assert.equal(said("Hello, world!"), 'it answered the handshake with "Hello, world!"');
  assert.equal(said("lookup-result|1|found|x"), 'it answered the handshake with "lookup-result|1|found|x"');
});

test("a bar in a key or in a value is a character like others", () => {
  const dialogue = readyDialogue("alias");
  const { id, line } = askOf(dialogue, "alias", 'a|b"@example.org');
  assert.ok(line.endsWith(`|${id}|a|b"@example.org`));
  assert.deepEqual(dialogue.onLine(`lookup-result|${id}|found||/usr/bin/vacation joe|x`), {
    kind: "answer",
    id,
    answer: { kind: "found", value: "|/usr/bin/vacation joe|x", where: "devs:alias" },
  });
});

test("answers may come in any order", () => {
  const dialogue = readyDialogue("alias", "domain");
  const first = askOf(dialogue, "alias", "joe");
  const second = askOf(dialogue, "domain", "example.org");
  assert.notEqual(first.id, second.id);
  assert.deepEqual(dialogue.onLine(`check-result|${second.id}|found`), {
    kind: "answer",
    id: second.id,
    answer: { kind: "found", value: "", where: "devs:domain" },
  });
  assert.deepEqual(dialogue.onLine(`lookup-result|${first.id}|not-found`), {
    kind: "answer",
    id: first.id,
    answer: { kind: "none" },
  });
});

test("an error, an empty value and what is no result are failures, never `not found`", () => {
  const failed = (result: string): string => {
    const dialogue = readyDialogue("alias");
    const { id } = askOf(dialogue, "alias", "joe");
    const heard = dialogue.onLine(`lookup-result|${id}|${result}`);
    assert.ok(heard.kind === "answer" && heard.answer.kind === "failed", JSON.stringify(heard));
    return heard.answer.text;
  };
  assert.equal(failed("error|failed to connect to the database"), '"failed to connect to the database"');
  assert.equal(failed("error"), "it reported an error");
  assert.match(failed("found|"), /empty value/);
  // A lookup needs a value.
  assert.match(failed("found"), /no result/);
  assert.match(failed("NOT-FOUND"), /no result/);
  assert.match(failed(""), /no result/);
});

test("lines that answer nothing are told as garbage, a second answer to the same request as well", () => {
  const dialogue = readyDialogue("alias");
  const { id } = askOf(dialogue, "alias", "joe");
  assert.equal(dialogue.onLine("debug: connected").kind, "garbage");
  assert.equal(dialogue.onLine("lookup-result|ffffffff|found|x").kind, "garbage");
  assert.equal(dialogue.onLine(`lookup-result|${id}`).kind, "garbage");
  assert.equal(dialogue.onLine(`lookup-result|${id}|not-found`).kind, "answer");
  assert.equal(dialogue.onLine(`lookup-result|${id}|found|x`).kind, "garbage");
});

test("passwords are compared by a program that registered auth, and are in nothing that is told of it", () => {
  const dialogue = readyDialogue("auth");
  assert.deepEqual(dialogue.services, []);
  const asked = dialogue.ask("auth", "joe:se|cret", AT);
  assert.ok(asked.kind === "line" && asked.line.endsWith(`|devs|check|auth|${asked.id}|joe:se|cret`));
  const echoed = dialogue.onLine(asked.line);
  assert.ok(echoed.kind === "garbage" && !echoed.text.includes("cret"), JSON.stringify(echoed));
  assert.deepEqual(dialogue.onLine(`check-result|${asked.id}|not-found`), {
    kind: "answer",
    id: asked.id,
    answer: { kind: "none" },
  });
  assert.equal(dialogue.ask("credentials", "joe", AT).kind, "refused");
});

test("a key that would end the line, or is longer than any line may be, is not asked for", () => {
  const dialogue = readyDialogue("alias");
  for (const key of ["a\nb", "a\rb", "a\0b", "x".repeat(20_000)])
    assert.equal(dialogue.ask("alias", key, AT).kind, "refused");
  assert.equal(dialogue.waiting, 0);
});

test("whatever is asked for is one line, and whatever a program writes ends no process", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...TABLE_SERVICES),
      fc.string({ unit: "binary", maxLength: 50 }),
      fc.array(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `lookup-result|00000001|${text}`),
        ),
      ),
      (service, key, lines) => {
        const dialogue = readyDialogue("alias", "domain", "source", "string");
        const asked = dialogue.ask(service, key, AT);
        if (asked.kind === "line") {
          assert.ok(!/[\r\n]/.test(asked.line));
          assert.ok(asked.line.split("|").length >= 7);
        }
        for (const line of lines) dialogue.onLine(line);
        assert.ok(dialogue.waiting <= 1);
      },
    ),
  );
});
