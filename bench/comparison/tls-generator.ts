import { join } from "node:path";
import { run } from "../../test/peers/running.ts";
import { ROOT } from "../../test/server.ts";

/** What a generator process of `tls-generator-main.ts` is to do. */
export interface TlsLoad {
  readonly port: number;
  readonly sessions: number;
  readonly messages: number;
  readonly bytes: number;
  readonly keepsSession: boolean;
  readonly handshake: "full" | "resumed";
  readonly recipient: string;
}

export interface TlsLoadResult {
  readonly tookS: number;
  /** What the generator itself took of the processors. */
  readonly cpuS: number;
  readonly sessions: number;
  /** Of them. */
  readonly resumed: number;
  /** Version and cipher suite. */
  readonly facts: string;
}

/** Runs so many generators beside each other, the load in equal shares, until the last is done. Throws when one fails. */
export async function tlsLoad(load: TlsLoad, generators: number): Promise<TlsLoadResult> {
  const share: TlsLoad = {
    ...load,
    sessions: Math.ceil(load.sessions / generators),
    messages: Math.round(load.messages / generators),
  };
  const program = join(ROOT, "bench", "comparison", "tls-generator-main.ts");
  const results = await Promise.all(
    Array.from({ length: generators }, async () => {
      const { status, output } = await run(process.execPath, [program, JSON.stringify(share)], "", 180_000);
      if (status !== 0) throw new Error(`the generator failed (${status}): ${output.slice(-2000)}`);
      // Written by our own process.
      return JSON.parse(output) as TlsLoadResult;
    }),
  );
  const sum = (of: (result: TlsLoadResult) => number): number => results.reduce((all, result) => all + of(result), 0);
  return {
    tookS: Math.max(...results.map(({ tookS }) => tookS)),
    cpuS: sum(({ cpuS }) => cpuS),
    sessions: sum(({ sessions }) => sessions),
    resumed: sum(({ resumed }) => resumed),
    facts: results[0]?.facts ?? "",
  };
}
