import assert from "node:assert/strict";
import { test } from "node:test";
import type { Table } from "../../service/table/table.ts";
import { tableOrList } from "../../service/config/kinds.ts";
import type { WakeRequest } from "../queue/queue.ts";
import { allowedWaker } from "./allowed-waker.ts";

const failing: Table = {
  name: "away",
  lookup: () => Promise.resolve({ kind: "failed", text: "the disk is away" }),
  exact: () => Promise.resolve({ kind: "failed", text: "the disk is away" }),
  has: () => Promise.resolve({ kind: "failed", text: "the disk is away" }),
  hasExact: () => Promise.resolve({ kind: "failed", text: "the disk is away" }),
};

function asked(domains: string | readonly string[]) {
  const woken: WakeRequest[] = [];
  const listener = { name: "in", etrn: { domains: tableOrList().parse(domains) } };
  const waker = allowedWaker([listener], new Map([["away", failing]]), {
    wake(request) {
      woken.push(request);
      return Promise.resolve({ kind: "woken", envelopes: 1 });
    },
  });
  const ask = async (node: string, of = "in"): Promise<string> => {
    const withSubdomains = node.startsWith("@");
    const answer = await waker(of).wake({ domain: node.replace("@", ""), withSubdomains });
    return answer.kind;
  };
  return { ask, woken };
}

test("a domain in the list is woken, another one is not, and nothing is asked of the scheduler for it", async () => {
  const { ask, woken } = asked(["customer.example", "*.partner.example"]);
  assert.equal(await ask("customer.example"), "woken");
  assert.equal(await ask("mail.partner.example"), "woken");
  assert.equal(woken.length, 2);
  assert.equal(await ask("partner.example"), "not-allowed");
  assert.equal(await ask("sub.customer.example"), "not-allowed");
  assert.equal(await ask("other.example"), "not-allowed");
  assert.equal(woken.length, 2);
});

test("all below a domain takes the domain and all below it in the list", async () => {
  const { ask } = asked(["customer.example", "both.example", "*.both.example", "*.below.example"]);
  assert.equal(await ask("@customer.example"), "not-allowed");
  assert.equal(await ask("@below.example"), "not-allowed");
  assert.equal(await ask("@both.example"), "woken");
});

test("without a list nobody's mail is woken; a table that fails is a failure and not a no", async () => {
  assert.equal(await asked([]).ask("customer.example"), "not-allowed");
  assert.equal(await asked("table:away").ask("customer.example"), "failed");
  assert.equal(await asked("table:missing").ask("customer.example"), "failed");
  assert.equal(await asked(["customer.example"]).ask("customer.example", "another listener"), "failed");
});
