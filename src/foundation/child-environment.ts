/**
 * The environment of a program that is not ours: these names and nothing else. In a process under Node's permission model
 * Node adds its own options to whatever it is given (NODE_OPTIONS), as data of the object: a program in Node would then see
 * only the files that our process may, and one of an older Node not start at all. So the name is taken, and holds nothing.
 */
export function childEnvironment(names: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return Object.defineProperty({ ...names }, "NODE_OPTIONS", { enumerable: false, get: () => undefined, set() {} });
}
