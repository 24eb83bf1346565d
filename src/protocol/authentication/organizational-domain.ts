import { getDomain } from "tldts";

/**
 * The domain that somebody registered, below which all is his: `example.co.uk` of `mail.example.co.uk` (RFC 7489 section 3.2,
 * by the public suffix list, private suffixes such as `github.io` included). A name that is a suffix itself stands for itself.
 */
export function organizationalDomain(domain: string): string {
  return getDomain(domain, { allowPrivateDomains: true, validateHostname: false }) ?? domain;
}
