import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseSendmailArguments, type SendmailRequest } from "./sendmail-arguments.ts";

function parsed(...argv: string[]): SendmailRequest {
  const result = parseSendmailArguments(argv);
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

test("the ways in which programs call a sendmail are understood", () => {
  const calls: [string[], Partial<SendmailRequest>][] = [
    [["-t"], { recipientsFromHeader: true }],
    [["-t", "-i"], { recipientsFromHeader: true, ignoresDots: true }],
    [["-ti"], { recipientsFromHeader: true, ignoresDots: true }],
    [["-t", "-oi"], { recipientsFromHeader: true, ignoresDots: true }],
    [
      ["-oem", "-oi", "-f", "a@b.example", "c@d.example"],
      { ignoresDots: true, sender: "a@b.example", recipients: ["c@d.example"] },
    ],
    [["-fa@b.example", "c"], { sender: "a@b.example", recipients: ["c"] }],
    [["-r", "a@b.example", "c"], { sender: "a@b.example" }],
    [["-f", "<>", "c"], { sender: "" }],
    [["-f", "", "c"], { sender: "" }],
    [["-F", "Anna Amsel", "-odb", "c"], { fullName: "Anna Amsel", recipients: ["c"] }],
    [["-FAnna", "-B8BITMIME", "-Am", "-O", "DeliveryMode=b", "c"], { fullName: "Anna", recipients: ["c"] }],
    [["-bs"], { mode: "smtp" }],
    [["-bm", "c"], { mode: "mail" }],
    [["-bp"], { mode: "queue" }],
    [["-bi"], { mode: "nothing" }],
    [["-XV", "c"], { verp: "" }],
    [["-XV-=", "-f", "list@here.example", "c"], { verp: "-=", sender: "list@here.example" }],
    [
      ["-N", "success,failure", "-R", "hdrs", "-V", "x1", "c"],
      { notify: "SUCCESS,FAILURE", dsnReturn: "HDRS", envelopeId: "x1" },
    ],
    [["-v", "-G", "-U", "-q15m", "--", "-odd@d.example"], { recipients: ["-odd@d.example"] }],
    [["--file", "x.yaml", "--server=[::1]:25", "c"], { settingsFile: "x.yaml", server: "[::1]:25" }],
  ];
  for (const [argv, expected] of calls) {
    const request = parsed(...argv);
    for (const [name, value] of Object.entries(expected))
      assert.deepEqual(request[name as keyof SendmailRequest], value, `${argv.join(" ")}: ${name}`);
  }
});

test("what is wrong is said in the user's words", () => {
  for (const [argv, words] of [
    [["-Z"], /unknown option -Z/],
    [["-f"], /-f needs a value/],
    [["-bd"], /-bd is not supported: posthornd /],
    [["-bv", "joe@a.example"], /-bv is not supported: `posthorn explain ADDRESS`/],
    [["-bt"], /-bt is not supported; -bm, -bs, -bp and -bi are/],
    [["-q"], /-q is not needed.*`posthorn queue retry --all`/],
    [["-q15m"], /-q is not needed/],
    [["-R", "all", "c"], /full or hdrs/],
    [["-N", "always", "c"], /never, or a list/],
    [["--form"], /unknown option --form/],
  ] as const) {
    const result = parseSendmailArguments(argv);
    assert.ok(!result.ok);
    assert.match(result.problem, words);
  }
});

test("no arguments make it throw", () => {
  fc.assert(fc.property(fc.array(fc.string()), (argv) => void parseSendmailArguments(argv)));
});
