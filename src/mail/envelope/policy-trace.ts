import type { Table, TableAnswer, TableAsk } from "../../service/table/table.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { Holds } from "./local-names.ts";
import type { Miss } from "./match.ts";
import type { RestrictionStage } from "./restrictions/mail-change.ts";

/** What rules, tables and senders were asked on the way to a decision, in order: for `posthorn explain`. */
export type PolicyStep =
  /** An address whose place is to be found: the one given, or one that another stands for. */
  | { readonly step: "address"; readonly address: string; readonly isLocal: boolean; readonly isOurOwn: boolean }
  | {
      readonly step: "rule";
      readonly rule: string;
      readonly action: string;
      readonly holds: Holds;
      /** Why it does not match. */
      readonly miss?: Miss | undefined;
    }
  | {
      readonly step: "table";
      readonly table: string;
      readonly service?: string | undefined;
      readonly key: string;
      readonly answer: TableAnswer<string | boolean>;
    }
  /** Whether somebody of that name has a mailbox. */
  | { readonly step: "user"; readonly address: string; readonly holds: Holds }
  /** What stands before the rules, and is asked of clients. */
  | {
      readonly step: "restriction";
      readonly restriction: string;
      readonly stage: RestrictionStage;
      readonly finding: "pass" | "permit" | "refuse" | "wait" | "soften";
      /** What the client would be told, or a remark. */
      readonly text: string;
      readonly isWarnOnly: boolean;
    }
  | {
      readonly step: "sender";
      readonly recipient: string;
      readonly sender: string;
      readonly by: "owner" | "as" | "verp" | "srs" | undefined;
    };

export type PolicyTrace = (step: PolicyStep) => void;

/** The same tables; each answer is told. Going through all entries is no question of a recipient's, and is not told. */
export function tracedTables(tables: Tables, trace: PolicyTrace): Tables {
  return new Map([...tables].map(([name, table]) => [name, tracedTable(table, trace)]));
}

function tracedTable(table: Table, trace: PolicyTrace): Table {
  const told = async <Value extends string | boolean>(
    key: string,
    ask: TableAsk | undefined,
    asking: Promise<TableAnswer<Value>>,
  ): Promise<TableAnswer<Value>> => {
    const answer = await asking;
    trace({ step: "table", table: table.name, service: ask?.service, key, answer });
    return answer;
  };
  return {
    name: table.name,
    lookup: (key, ask) => told(key, ask, table.lookup(key, ask)),
    exact: (key, ask) => told(key, ask, table.exact(key, ask)),
    has: (key, ask) => told(key, ask, table.has(key, ask)),
    hasExact: (key, ask) => told(key, ask, table.hasExact(key, ask)),
    ...(table.entries === undefined
      ? {}
      : { entries: (ask) => table.entries?.(ask) ?? Promise.resolve({ kind: "none" }) }),
  };
}
