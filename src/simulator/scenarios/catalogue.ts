import type { WrittenScenario } from "../scenario.ts";
import { brokenIpv6, deadBesideLive, firstTwoOfThreeDown } from "./broken-hosts.ts";
import { greylisting } from "./greylisting.ts";
import { dayOfMail } from "./million.ts";
import { listBesideSingles } from "./mixed.ts";

/** A scenario that comes with Posthorn: in the size of its marks, and one that takes seconds. */
export interface ShippedScenario {
  readonly name: string;
  readonly says: string;
  readonly make: (size: "full" | "small") => WrittenScenario;
}

export const shippedScenarios: readonly ShippedScenario[] = [
  ...(["restarting", "spamd", "triplets"] as const).map((kind) =>
    shipped((size) => greylisting(kind, size === "full" ? 300_000 : 5000)),
  ),
  shipped((size) => (size === "full" ? listBesideSingles(300_000, 1000) : listBesideSingles(5000, 500))),
  shipped((size) => firstTwoOfThreeDown(size === "full" ? 5000 : 300)),
  shipped((size) => brokenIpv6(size === "full" ? 2000 : 200)),
  shipped((size) => (size === "full" ? deadBesideLive(10_000, 1000) : deadBesideLive(1000, 100))),
  shipped((size) => (size === "full" ? dayOfMail(1_000_000, 50_000) : dayOfMail(10_000, 1000))),
];

function shipped(make: ShippedScenario["make"]): ShippedScenario {
  const { name = "", says = "" } = make("full");
  return { name, says, make };
}
