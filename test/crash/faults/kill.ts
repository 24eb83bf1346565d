import { setTimeout as wait } from "node:timers/promises";
import { between, signal, someProcess, type Fault } from "./fault.ts";

/** Processes end in the middle of their work. */
export const killWorkers: Fault = {
  name: "kill-workers",
  says: "one to three workers are killed, one after the other",
  layouts: ["split"],
  mayRepeat: true,
  async play(life) {
    const killed: string[] = [];
    for (let left = 1 + Math.floor(life.random.next() * 3); left > 0; left--) {
      const victim = await someProcess(life);
      if (victim !== undefined && signal(victim.pid, "SIGKILL")) killed.push(victim.name);
      await wait(between(life.random, 0, 900));
    }
    return `killed ${killed.join(", ")}`;
  },
};

export const killServer: Fault = {
  name: "kill-server",
  says: "all of the server is killed at once",
  layouts: ["single", "split"],
  mayRepeat: true,
  async play(life) {
    await life.killServer();
    return "killed all";
  },
};

export const killAtStart: Fault = {
  name: "kill-at-start",
  says: "the server is killed, and once more while it starts",
  layouts: ["single", "split"],
  mayRepeat: true,
  async play(life) {
    await life.killServer();
    const afterMs = between(life.random, 100, 1500);
    await wait(afterMs);
    await life.killServer();
    return `killed all, and again ${Math.round(afterMs)} ms later`;
  },
};

export const killScheduler: Fault = {
  name: "kill-scheduler",
  says: "the process of the queue is killed while the next host holds its yes back",
  layouts: ["split"],
  mayRepeat: true,
  async play(life) {
    const { manner } = life.neighbours;
    manner.replyAfterMs = 700;
    try {
      await wait(between(life.random, 300, 600));
      const victim = await someProcess(life, ({ name }) => name === "scheduler");
      if (victim !== undefined) signal(victim.pid, "SIGKILL");
      await wait(between(life.random, 300, 1000));
    } finally {
      manner.replyAfterMs = 0;
    }
    return "killed the scheduler in mid-delivery";
  },
};
