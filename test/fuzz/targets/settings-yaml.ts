import assert from "node:assert/strict";
import { parseSettings } from "../../../src/service/config/parse.ts";
import { readYaml } from "../../../src/service/config/yaml.ts";
import { posthornSettings } from "../../../src/process/settings/settings.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

/**
 * Settings files: accepted, or refused with problems that each have words and stand on a line that is there. Never both, never neither, and
 * no name of the file reaches an object's prototype.
 */
export const target: FuzzTarget = {
  maxBytes: 800,
  longBytes: 8192,
  seeds: [
    "server:\n  hostname: mx.example\nlisteners:\n  - name: a\n    port: 25\n    tls: offer\n",
    "rules:\n  - match: { for: local }\n    action: deliver\nactions:\n  deliver: { maildir: /var/mail }\n",
    "tables:\n  t: { file: /etc/t }\nsession: { message-size: 10MiB }\nroute:\n  limits: { total: 5 }\n",
    "a: &a [1, *a]\nb: !!binary x\n? c\n: 'd'\n",
    "restrictions:\n  - client-name: missing\n    when: mail\n",
  ],
  tokens: [
    "\n",
    "  ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!",
    "'",
    '"',
    "|",
    ">",
    "#",
    "---\n",
    "<<: ",
    "__proto__: ",
    "constructor: ",
    "true",
    "1e9",
    "5m",
    "10MiB",
    "127.0.0.1",
    "null",
    "\t",
  ],
  run(bytes) {
    const text = bytes.toString("utf8");
    const lines = text.split(/\r\n|\r|\n/).length;
    const read = readYaml(text, "posthorn.yaml");
    const problems = [...read.problems];
    if (read.root !== undefined) {
      const parsed = parseSettings(posthornSettings, {
        root: read.root,
        file: "posthorn.yaml",
        directory: "/etc",
        spelling: "kebab",
      });
      if (!parsed.ok) problems.push(...parsed.problem);
      assert.ok(parsed.ok || parsed.problem.length > 0, "refused without a word");
    } else assert.ok(problems.length > 0, "neither settings nor problems");
    for (const { text: words, place } of problems) {
      assert.ok(words.length > 0);
      assert.ok(place === undefined || (place.line >= 1 && place.line <= lines + 1), `line ${place?.line} of ${lines}`);
    }
    assert.equal(Object.keys(Object.prototype).length, 0);
  },
};
