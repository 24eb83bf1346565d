import { setTimeout as wait } from "node:timers/promises";
import { between, oneOf, type Fault } from "./fault.ts";
import type { Ailment, Neighbour } from "./neighbours.ts";

/** Those whom the server asks or sends to are down, and back. */
function down(name: string, says: string, which: "dns" | "tables"): Fault {
  return {
    name,
    says,
    layouts: ["single", "split"],
    mayRepeat: false,
    async play({ neighbours, random }) {
      const neighbour: Neighbour = neighbours[which];
      const ailment = oneOf<Ailment>(random, ["gone", "silent", "failing"]);
      const forMs = between(random, 500, 2500);
      await neighbour.become(ailment);
      try {
        await wait(forMs);
      } finally {
        await neighbour.become(undefined);
      }
      return `${which} ${ailment} for ${Math.round(forMs)} ms`;
    },
  };
}

export const dnsDown = down("dns-down", "the DNS server is gone, silent or failing", "dns");
export const tableDown = down("table-down", "the backend of a table is gone, silent or failing", "tables");

export const nextHostDown: Fault = {
  name: "next-host-down",
  says: "the next host cuts every connection for up to two seconds",
  layouts: ["single", "split"],
  // It took mail and did not say so: nobody can tell.
  mayRepeat: true,
  async play({ neighbours: { manner }, random }) {
    const forMs = between(random, 300, 2000);
    manner.isDown = true;
    try {
      await wait(forMs);
    } finally {
      manner.isDown = false;
    }
    return `next host down for ${Math.round(forMs)} ms`;
  },
};
