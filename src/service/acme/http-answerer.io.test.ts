import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { httpAnswerer } from "./http-answerer.io.ts";

/** Status and content of the answer to this request target, as it is written. */
function asked(port: number, path: string): Promise<readonly [number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const question = request({ host: "127.0.0.1", port, path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve([response.statusCode, text]));
    });
    question.on("error", reject).end();
  });
}

test("a challenge is answered to whoever names the path, or the host as well", async (t) => {
  const answerer = await httpAnswerer({ address: "127.0.0.1", port: 0 });
  t.after(() => answerer.close());
  const hide = await answerer.show({ name: "mx.example", token: "tok", keyAuthorization: "tok.key" });
  const path = "/.well-known/acme-challenge/tok";
  for (const target of [path, `http://mx.example${path}`, `HTTP://mx.example:80${path}`])
    assert.deepEqual(await asked(answerer.port, target), [200, "tok.key"], target);
  for (const target of [
    `${path}en`,
    `ftp://mx.example${path}`,
    `/x/http://mx.example${path}`,
    "http://mx.example",
    "*",
  ])
    assert.deepEqual(await asked(answerer.port, target), [404, "not found\n"], target);
  await hide();
  assert.equal((await asked(answerer.port, `http://mx.example${path}`))[0], 404);
});
