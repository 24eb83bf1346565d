import { reply, type Reply } from "../../protocol/smtp/reply.ts";
import type { GreylistingModel } from "./settings.ts";

/** A greylister's memory. `refuses` is asked for each recipient presented, and learns from it. */
export class Greylist {
  readonly #model: GreylistingModel;
  /** Since when the wait of a key runs. */
  readonly #waiting = new Map<string, number>();
  /** Until when who has passed may send. */
  readonly #passed = new Map<string, number>();

  constructor(model: GreylistingModel) {
    this.#model = model;
  }

  refuses(client: string, sender: string, recipient: string, now: number): Reply | undefined {
    const { by, wait, window, memory, restarts } = this.#model;
    const admits = by === "triplet" ? `${client} ${sender} ${recipient}` : client;
    const passedUntil = this.#passed.get(admits);
    if (passedUntil !== undefined && now < passedUntil) {
      this.#passed.set(admits, now + memory);
      return undefined;
    }
    const key = by === "client" ? client : by === "triplet" ? admits : `${client} ${sender} ${recipient}`;
    const since = this.#waiting.get(key);
    if (since === undefined || now - since > window) {
      this.#waiting.set(key, now);
      return this.#refusal(wait);
    }
    if (now - since < wait) {
      if (restarts) this.#waiting.set(key, now);
      return this.#refusal(restarts ? wait : wait - (now - since));
    }
    this.#waiting.delete(key);
    this.#passed.set(admits, now + memory);
    return undefined;
  }

  #refusal(leftMs: number): Reply {
    const { tells, reply: model } = this.#model;
    const status = model.status === "" ? undefined : model.status;
    const left = `${Math.ceil(leftMs / 1000)} seconds`;
    const text = !tells
      ? model.text
      : model.text.includes("{}")
        ? model.text.replace("{}", left)
        : `${model.text} in ${left}`;
    return reply(model.code, status, text);
  }
}
