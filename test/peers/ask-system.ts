/**
 * For accounts.test.ts, in a mount namespace of its own: asks for system passwords as the keeper does. The questions are
 * JSON on the command line; each answer is a line of JSON.
 */
import { systemClock } from "../../src/foundation/clock.io.ts";
import { systemPasswords } from "../../src/service/account/system-passwords.io.ts";
import type { SystemQuestion } from "../../src/service/account/system-passwords.ts";

const passwords = systemPasswords({ clock: systemClock, atOnce: () => 2 });
// The test wrote them.
const questions = JSON.parse(process.argv[2] ?? "[]") as readonly SystemQuestion[];
let longestPauseMs = 0;
let beforeMs = performance.now();
const watch = setInterval(() => {
  const now = performance.now();
  longestPauseMs = Math.max(longestPauseMs, now - beforeMs);
  beforeMs = now;
}, 10);
const verdicts = await Promise.all(
  questions.map(async (question) => {
    const beganMs = performance.now();
    const verdict = await passwords.checkSystemPassword(question);
    return { verdict, tookMs: performance.now() - beganMs };
  }),
);
clearInterval(watch);
console.log(JSON.stringify({ verdicts, longestPauseMs }));
await passwords.close();
