import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { failureText } from "../../envelope/failure-text.ts";
import { commandFailure } from "./exit-status.ts";

const exit = (status: number, output = ""): string => {
  const failure = commandFailure({ kind: "exit", status, output });
  return failure === undefined ? "delivered" : `${failure.lasting} ${failure.status} ${failureText(failure)}`;
};

test("exit statuses mean what sysexits.h says", () => {
  assert.equal(exit(0, "whatever"), "delivered");
  assert.equal(exit(67), "permanent 5.1.1 command: user unknown");
  assert.equal(exit(69), "permanent 5.3.0 command: service unavailable");
  assert.equal(exit(73), "permanent 5.2.0 command: can't create user output file");
  assert.equal(exit(75), "temporary 4.3.0 command: temporary failure");
  assert.equal(exit(77), "permanent 5.7.0 command: permission denied");
  assert.equal(exit(1), "permanent 5.3.0 command: command died with status 1");
});

test("what somebody can mend meanwhile is temporary: a missing program, a disk", () => {
  assert.match(exit(127), /^temporary 4\.3\.5 .*not found/);
  assert.match(exit(126), /^temporary 4\.3\.5 .*cannot be executed/);
  assert.match(exit(74), /^temporary 4\.3\.0/);
});

test("the output is told, and a status in front of it sets the detail but not whether it is for good", () => {
  assert.equal(
    exit(69, " no room today \n"),
    "permanent 5.3.0 command: service unavailable. Command output: no room today",
  );
  assert.equal(exit(69, "5.2.2 full up\n"), "permanent 5.2.2 command: service unavailable. Command output: full up");
  assert.equal(exit(75, "5.2.2 full up"), "temporary 4.2.2 command: temporary failure. Command output: full up");
  assert.equal(exit(75, "4.2.2"), "temporary 4.2.2 command: temporary failure");
  assert.equal(exit(69, "5.2.2full"), "permanent 5.3.0 command: service unavailable. Command output: 5.2.2full");
});

test("the sender reads what the exit status means, and of the output only what the command says with a status", () => {
  const told = (status: number, output: string): string => {
    const failure = commandFailure({ kind: "exit", status, output });
    return failure === undefined ? "delivered" : failureText(failure, "sender");
  };
  assert.equal(told(1, "Traceback: /srv/secret/filter.py"), "command: command died with status 1");
  assert.equal(told(127, "sh: 1: /srv/secret: not found"), "command: command not found");
  assert.equal(told(69, "5.2.2 mailbox is full"), "command: service unavailable. Command output: mailbox is full");
  const trouble = commandFailure({ kind: "trouble", text: "spawn /srv/secret ENOENT" });
  assert.equal(trouble === undefined ? "" : failureText(trouble, "sender"), "command: the command could not be run");
});

test("a signal and a deadline say nothing about the recipient", () => {
  assert.equal(commandFailure({ kind: "signal", signal: "9 (SIGKILL)", output: "" })?.lasting, "temporary");
  const late = commandFailure({ kind: "deadline", afterMs: 900_000, output: "half" });
  assert.equal(late?.lasting, "temporary");
  assert.match(late === undefined ? "" : failureText(late), /took longer than 15m and was ended. Command output: half/);
});

test("any status and any output give a status code of the class that is meant", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 255 }), fc.string(), (status, output) => {
      const failure = commandFailure({ kind: "exit", status, output });
      assert.ok(failure !== undefined);
      assert.match(failure.status, failure.lasting === "permanent" ? /^5\.\d+\.\d+$/ : /^4\.\d+\.\d+$/);
    }),
  );
});
