import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { headerText, parseHttpServer } from "./http-server.ts";

test("an address of HTTP has a host, a port, and a path when it gives one", () => {
  assert.deepEqual(parseHttpServer("http://127.0.0.1:11333", "/checkv2"), {
    text: "http://127.0.0.1:11333",
    isTls: false,
    host: "127.0.0.1",
    port: 11_333,
    path: "/checkv2",
  });
  assert.deepEqual(parseHttpServer("https://[::1]/hook?for=us", "/"), {
    text: "https://[::1]/hook",
    isTls: true,
    host: "::1",
    port: 443,
    path: "/hook?for=us",
  });
  assert.deepEqual(parseHttpServer("unix:/run/rspamd.sock", "/checkv2")?.socketPath, "/run/rspamd.sock");
});

test("passwords, fragments and other protocols are refused, and nothing throws", () => {
  for (const text of [
    "",
    "127.0.0.1:80",
    "ftp://x",
    "http://",
    "http:///x",
    "http://u:p@x/",
    "http://x/#a",
    "unix:x",
    "http://x:0/",
  ])
    assert.equal(parseHttpServer(text, "/"), undefined, text);
  fc.assert(fc.property(fc.string(), (text) => void parseHttpServer(`http://${text}`, "/")));
});

test("text in a header is its UTF-8, without anything that could end the line", () => {
  assert.equal(headerText("a\r\nX: b\0"), "a X: b");
  assert.equal(headerText("jürgen@example.org"), "jÃ¼rgen@example.org");
});
