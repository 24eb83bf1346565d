import assert from "node:assert/strict";
import { test } from "node:test";
import { problemLine } from "../../service/config/config.ts";
import { parseSettings } from "../../service/config/parse.ts";
import { readYaml } from "../../service/config/yaml.ts";
import { posthornSettings } from "../settings/settings.ts";
import { checkTlsPolicy } from "./tls-policy.ts";

function told(yaml: string): readonly string[] {
  const { root } = readYaml(yaml, "posthorn.yaml");
  assert.ok(root);
  const parsed = parseSettings(posthornSettings, { root, file: "posthorn.yaml", directory: "/", spelling: "kebab" });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return checkTlsPolicy(parsed.value, {}).map(problemLine);
}

const NEW = "TLS_AES_128_GCM_SHA256";

test("ciphers that leave nothing for one of the versions are refused where they stand", () => {
  const [usual, ...more] = told(`delivery: { tls: { ciphers: ${NEW}, policy: { a.example: may } } }`);
  assert.match(usual ?? "", /delivery\.tls\.ciphers: ciphers: "TLS_AES_128_GCM_SHA256" .* none for TLSv1\.2/);
  assert.deepEqual(more, []);
  const [own] = told(`delivery: { tls: { policy: { a.example: may ciphers=${NEW} } } }`);
  assert.match(own ?? "", /delivery\.tls\.policy\.a\.example: ciphers: .* none for TLSv1\.2/);
  const [older] = told(
    `delivery: { tls: { ciphers: ${NEW}, min-version: TLSv1.3, policy: { a.example: may max-version=TLSv1.2 } } }`,
  );
  assert.match(older ?? "", /delivery\.tls\.policy\.a\.example: ciphers: .* none for TLSv1\.2/);
  const [entry] = told(
    `{ tables: { p: { map: { a.example: encrypt ciphers=${NEW} } } }, delivery: { tls: { policy-table: "table:p" } } }`,
  );
  assert.match(entry ?? "", /tables\.p\.map\.a\.example: ciphers: .* none for TLSv1\.2/);
});

test("ciphers that fit the versions are not told of", () => {
  assert.deepEqual(told(`delivery: { tls: { ciphers: ${NEW}, min-version: TLSv1.3 } }`), []);
  assert.deepEqual(
    told(
      `delivery: { tls: { ciphers: HIGH, policy: { a.example: may min-version=TLSv1.3, b.example: encrypt ciphers=${NEW} min-version=TLSv1.3 } } }`,
    ),
    [],
  );
});
