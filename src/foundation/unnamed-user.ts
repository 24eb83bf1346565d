/** What a user of this host is called of whom the system knows no name, as in containers: by log, rules and commands alike. */
export function unnamedUser(uid: number): string {
  return `uid-${uid}`;
}
