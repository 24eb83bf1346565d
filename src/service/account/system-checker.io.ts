import { parentPort } from "node:worker_threads";
import { answerSystemQuestion } from "./system-checks.io.ts";
import type { SystemQuestion } from "./system-passwords.ts";

/** A thread that asks the system, one question at a time: `system-passwords.io.ts` starts it. */
parentPort?.on("message", (question: SystemQuestion) => {
  parentPort?.postMessage(answerSystemQuestion(question, Math.floor(Date.now() / 86_400_000)));
});
