import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { makeCertificate } from "../../test/peers/certificate.ts";
import { ROOT, freePort } from "../../test/server.ts";
import type { Contender, Wanted } from "./contender.ts";
import { makeScratch } from "./scratch.ts";

/** What `bare-node-main.ts` is told. */
export interface BareNodeOrders {
  readonly port: number;
  /** Where it keeps what it takes. */
  readonly folder: string;
  /** In Posthorn's queue and journal, instead of a file. */
  readonly isInStores: boolean;
  readonly sendTo?: number | undefined;
  readonly pair?: { readonly certificate: string; readonly key: string } | undefined;
}

/** Node and nothing else, or with Posthorn's stores: what a server in it, or with them, can come to (`bare-node-main.ts`). */
export async function startBareNode(name: "Node, bare" | "Node, stores", { task, hasTls }: Wanted): Promise<Contender> {
  const folder = makeScratch("bare-node");
  const orders: BareNodeOrders = {
    port: await freePort(),
    folder,
    isInStores: name === "Node, stores",
    ...(task.kind === "relay" ? { sendTo: task.to } : {}),
    ...(hasTls === true ? { pair: await makeCertificate(folder) } : {}),
  };
  const main = join(ROOT, "bench", "comparison", "bare-node-main.ts");
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, JSON.stringify(orders)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("Node could not be started");
  const over = once(child, "exit");
  const isListening = await Promise.race([once(child.stdout, "data").then(() => true), over.then(() => false)]);
  if (!isListening) throw new Error("bare-node-main.ts ended before it listened");
  return {
    name,
    ports: [orders.port],
    pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await over;
    },
  };
}
