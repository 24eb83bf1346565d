/**
 * `node --import bench/tls-plain-hook.ts`: a whole server whose listeners speak TLS through `tls-plain.ts` instead of the
 * engine. The product knows nothing of it.
 */
import { registerHooks } from "node:module";

registerHooks({
  resolve(specifier, context, next) {
    return /\/service\/tls\/server\.io\.[jt]s$/.test(specifier)
      ? next(new URL("tls-plain.ts", import.meta.url).href, context)
      : next(specifier, context);
  },
});
