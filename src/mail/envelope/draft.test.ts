import assert from "node:assert/strict";
import { test } from "node:test";
import type { Notify } from "./envelope.ts";
import { draftKey, draftOf, mergedDraft, type EnvelopeDraft } from "./draft.ts";

const wishes = {
  given: "office@example.org",
  originalRecipient: "rfc822;office@example.org",
  notify: ["SUCCESS", "FAILURE"] as const,
};

test("an alias passes on what the sender wants to hear, and by which name the sender knows it", () => {
  assert.deepEqual(draftOf({ recipient: "jane@example.org", action: "deliver", via: ["office@example.org"] }, wishes), {
    recipient: "jane@example.org",
    givenRecipient: "office@example.org",
    originalRecipient: "rfc822;office@example.org",
    notify: ["SUCCESS", "FAILURE"],
    action: "deliver",
    notBeforeAt: undefined,
    sender: undefined,
    target: undefined,
    via: ["office@example.org"],
    isListMember: undefined,
  });
});

test("a list's members are its owner's business; the list itself is for who asked to hear of success", () => {
  const member = { recipient: "jane@example.org", action: "deliver", isListMember: true, sender: "owner@example.org" };
  const draft = draftOf(member, wishes);
  assert.deepEqual([draft?.notify, draft?.originalRecipient, draft?.sender], [[], undefined, "owner@example.org"]);
  assert.equal(draft?.isListMember, true);
  const forwarded = draftOf({ recipient: "jane@example.com", action: "relay" }, { ...wishes, isListMember: true });
  assert.deepEqual([forwarded?.notify, forwarded?.originalRecipient, forwarded?.isListMember], [[], undefined, true]);
  const list = { recipient: "office@example.org", action: "deliver", isReceipt: true };
  assert.deepEqual(draftOf(list, wishes)?.notify, ["SUCCESS", "FAILURE"]);
  assert.equal(draftOf(list, { ...wishes, notify: ["FAILURE"] }), undefined);
  assert.equal(draftOf(list, { ...wishes, notify: [] }), undefined);
});

test("a sender that it had before stays, unless the target has one of its own", () => {
  const target = { recipient: "jane@example.org", action: "relay" };
  assert.equal(draftOf(target, { ...wishes, sender: "owner@example.org" })?.sender, "owner@example.org");
  assert.equal(draftOf({ ...target, sender: "" }, { ...wishes, sender: "owner@example.org" })?.sender, "");
});

test("envelopes for the same place are one, whoever led there; another sender or command makes two", () => {
  const draft = { recipient: "jane@example.org", action: "deliver", notify: [] };
  assert.equal(draftKey(draft), draftKey({ ...draft, notify: ["FAILURE"], via: ["x@example.org"] }));
  assert.equal(draftKey(draft), draftKey({ ...draft, recipient: "Jane@Example.ORG" }));
  assert.notEqual(draftKey(draft), draftKey({ ...draft, recipient: "jane+x@example.org" }));
  assert.notEqual(draftKey(draft), draftKey({ ...draft, sender: "a@example.org" }));
  const command = { kind: "command", command: "/bin/a", user: "" } as const;
  assert.notEqual(
    draftKey({ ...draft, target: command }),
    draftKey({ ...draft, target: { ...command, command: "/bin/b" } }),
  );
});

test("of two recipients for one place the sender hears what was asked for either, by the name of who asked for more", () => {
  const draft = (name: string, notify: readonly Notify[]): EnvelopeDraft => ({
    recipient: "jane@example.org",
    givenRecipient: `${name}@example.org`,
    originalRecipient: `rfc822;${name}@example.org`,
    notify,
    action: "deliver",
  });
  const cases: readonly (readonly [readonly Notify[], readonly Notify[], readonly Notify[], string])[] = [
    [["NEVER"], ["FAILURE"], ["FAILURE"], "b"],
    [["FAILURE"], ["NEVER"], ["FAILURE"], "a"],
    [["NEVER"], [], [], "b"],
    [["NEVER"], ["NEVER"], ["NEVER"], "a"],
    [[], [], [], "a"],
    [[], ["SUCCESS", "FAILURE", "DELAY"], ["SUCCESS", "FAILURE", "DELAY"], "b"],
    [[], ["SUCCESS"], ["FAILURE", "DELAY", "SUCCESS"], "a"],
    [["SUCCESS"], ["FAILURE"], ["SUCCESS", "FAILURE"], "a"],
    [["FAILURE"], [], [], "b"],
  ];
  for (const [first, second, notify, name] of cases) {
    const merged = mergedDraft(draft("a", first), draft("b", second));
    const asked = `${first.join()} and ${second.join()}`;
    assert.deepEqual([merged.notify, merged.givenRecipient], [notify, `${name}@example.org`], asked);
    assert.equal(merged.originalRecipient, `rfc822;${name}@example.org`, asked);
  }
  const member = { ...draft("list", []), isListMember: true } as const;
  assert.equal(mergedDraft(member, member).isListMember, true);
  assert.equal(mergedDraft(member, draft("a", [])).isListMember, undefined);
});
