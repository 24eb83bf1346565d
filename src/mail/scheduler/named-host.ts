import { hostText } from "../route/route.ts";
import type { Candidate } from "./state.ts";

/** Whether a next host is the one that an operator names. */
export function isCandidate({ host, address }: Candidate, route: string): boolean {
  return isHost({ name: host.name, address, text: hostText(host) }, route);
}

/** The same of a host as the log writes it, `name[address]:port`. */
export function isNamed(text: string, route: string): boolean {
  const folded = text.toLowerCase();
  const [, name, ip = "", rest = ""] = /^([^[]*)\[([^\]]*)\](.*)$/.exec(folded) ?? [];
  return [folded, name, ip, `${ip}${rest}`, `[${ip}]${rest}`].includes(route);
}

/** By name, address, address with port, or as the log writes it; `route` in lower case, as nobody means another host by its case. */
export function isHost(
  host: { readonly name: string; readonly address: string; readonly text: string },
  route: string,
): boolean {
  const ip = host.address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return [host.name, host.address, ip, host.text].some((one) => one.toLowerCase() === route);
}
