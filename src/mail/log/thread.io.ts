import { Worker } from "node:worker_threads";
import { ownModule } from "../../foundation/own-module.ts";

/** A thread that answers one question after the other. It is started by the first, and again by the first after its end. */
export interface Thread<Question, Answer> {
  /** Rejects when the thread ends before it answers. One question at a time. */
  ask(question: Question): Promise<Answer>;
  readonly isRunning: boolean;
  /** Ends the thread, whatever it does; a question in flight rejects. */
  end(): Promise<void>;
}

/** `name` is the file of this folder without extension; an entry of the build (`tools/build.ts`). */
export function createThread<Question, Answer>(name: string, data: unknown): Thread<Question, Answer> {
  let worker: Worker | undefined;
  let waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  const started = (): Worker => {
    if (worker !== undefined) return worker;
    const fresh = new Worker(ownModule(`mail/log/${name}`), {
      workerData: data,
      name,
      // These threads keep nothing from one batch to the next; a larger nursery is only memory.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    worker = fresh;
    // The thread alone does not keep the process alive; what waits for its answer has a timer.
    fresh.unref();
    fresh.on("message", (answer: Answer) => {
      const asked = waiting;
      waiting = undefined;
      asked?.resolve(answer);
    });
    const onEnd = (error: Error): void => {
      if (worker !== fresh) return;
      worker = undefined;
      const asked = waiting;
      waiting = undefined;
      asked?.reject(error);
    };
    fresh.on("error", onEnd);
    fresh.on("exit", () => onEnd(new Error(`the thread ${name} ended`)));
    return fresh;
  };
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        started().postMessage(question);
      }),
    get isRunning() {
      return worker !== undefined;
    },
    async end() {
      const old = worker;
      worker = undefined;
      const asked = waiting;
      waiting = undefined;
      asked?.reject(new Error(`the thread ${name} was ended`));
      await old?.terminate();
    },
  };
}
