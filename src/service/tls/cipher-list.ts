/**
 * Why a list of ciphers leaves nothing for a version that is to be spoken; undefined when it does. Suites of TLS 1.3 have
 * names of their own, and those of older versions say nothing about it: a list without any leaves TLS 1.3 its usual ones. A
 * list of nothing else would silently mean that nothing older is spoken, and Node takes it so.
 */
export function cipherGap(ciphers: string, minVersion: string, maxVersion = "TLSv1.3"): string | undefined {
  const names = ciphers.split(":").filter((name) => name !== "");
  const isNewOnly = names.length > 0 && names.every((name) => /^!?TLS_/.test(name));
  if (!isNewOnly || minVersion === "TLSv1.3") return undefined;
  const older = maxVersion === "TLSv1.3" ? `${minVersion} to TLSv1.2` : `${minVersion} to ${maxVersion}`;
  const versions = minVersion === "TLSv1.2" ? "TLSv1.2" : older;
  return `${JSON.stringify(ciphers)} names suites of TLS 1.3 only, and none for ${versions}: add ciphers for that, or make TLSv1.3 the oldest version`;
}
