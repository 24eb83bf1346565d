import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { OpenQuestion } from "./open-question.ts";

function withLog(): { question: OpenQuestion; heard: string[]; answers: ((value: string) => void)[]; ask: () => void } {
  const heard: string[] = [];
  const answers: ((value: string) => void)[] = [];
  const question = new OpenQuestion(virtualClock(0), () => heard.push("settled"));
  return {
    question,
    heard,
    answers,
    ask: () =>
      question.ask(new Promise<string>((resolve) => answers.push(resolve)), (answer) => heard.push(answer), {
        failed: (because) => heard.push(String(because)),
        limitMs: 1000,
        what: "rules",
      }),
  };
}

test("an answer after the deadline is not heard, not even as that of the next question", async () => {
  const { question, heard, answers, ask } = withLog();
  ask();
  question.expire();
  assert.match(heard.join(), /^DeadlinePassed: rules.*,settled$/);
  ask();
  answers[0]?.("too late");
  await Promise.resolve();
  assert.equal(question.isOpen, true);
  answers[1]?.("in time");
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard.slice(2), ["in time", "settled"]);
  assert.equal(question.isOpen, false);
});

test("a question that leads to another settles once, behind the last", async () => {
  const heard: string[] = [];
  const otherwise = { failed: () => {}, limitMs: 1, what: "x" };
  const question = new OpenQuestion(virtualClock(0), () => heard.push("settled"));
  question.ask(
    Promise.resolve(1),
    () => {
      heard.push("one");
      question.ask(Promise.resolve(2), () => heard.push("two"), otherwise);
    },
    otherwise,
  );
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ["one", "two", "settled"]);
});

test("a failure is told as one", async () => {
  const heard: unknown[] = [];
  const question = new OpenQuestion(virtualClock(0), () => {});
  const because = new Error("x");
  question.ask(Promise.reject(because), () => heard.push("answer"), {
    failed: (given) => heard.push(given),
    limitMs: 1,
    what: "x",
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, [because]);
});
