import { pbkdf2Sync } from "node:crypto";
import { SCRAM_HASHES, scramVerifier } from "../protocol/sasl/scram.ts";
import { SCRAM_ITERATIONS, type Authenticator } from "../service/account/authenticator.ts";

/**
 * An authenticator that can serve every mechanism, for one account, `ann`: the password is kept as it is, and there is a
 * good token. Keys of SCRAM are made anew each time, with another salt. For `throw` it is out of order.
 */
export function onePerson(password: string, token = "good"): Authenticator {
  let made = 0;
  const isAnn = (user: string): boolean => user.toLowerCase() === "ann";
  return {
    async checkPassword(user, given) {
      if (user === "throw") throw new Error("out of order");
      return isAnn(user) && given === password ? { kind: "right", account: "ann" } : { kind: "wrong" };
    },
    async scramKeys(user, hash) {
      if (!isAnn(user)) return { kind: "none" };
      const salt = Buffer.alloc(16, ++made);
      const { digest, bytes } = SCRAM_HASHES[hash];
      const verifier = scramVerifier(hash, pbkdf2Sync(password, salt, SCRAM_ITERATIONS, bytes, digest));
      return { kind: "found", account: "ann", keys: { salt, iterations: SCRAM_ITERATIONS, ...verifier } };
    },
    async plainPassword(user) {
      return isAnn(user) ? { kind: "found", account: "ann", password } : { kind: "none" };
    },
    async checkToken(user, given) {
      return given === token && (user === "" || isAnn(user)) ? { kind: "right", account: "ann" } : { kind: "wrong" };
    },
  };
}
