/** `upcasts[n]` lifts data of version n to version n + 1. */
// The shapes between two versions are known only to the function that lifts one to the next.
// eslint cannot see that; `never` as a parameter accepts every such function and lets nobody call it unchecked.
export type Upcasts = Readonly<Record<number, (old: never) => unknown>>;

/** A version newer than this code knows: not poison, but a reader to be replaced by a newer one. */
export class BehindCode extends Error {
  override readonly name = 'BehindCode';
}

/** Throws unless every version below the newest has its lift: a hole would be met only by the oldest data, in a replay. */
export function checkUpcasts(what: string, version: number, upcasts: Upcasts): void {
  if (!Number.isInteger(version) || version < 1) throw new Error(`${what}: version ${version} is not 1, 2, 3 …`);
  for (let from = 1; from < version; from++) {
    if (!upcasts[from]) throw new Error(`${what}: version ${version} needs an upcast from version ${from}`);
  }
  const beyond = Object.keys(upcasts).find((from) => Number(from) >= version);
  if (beyond) throw new Error(`${what}: the upcast from version ${beyond} leads beyond version ${version}`);
}

/** Lifts data of an older version to the newest, step by step. The reading door's only tool. */
export function lift(
  contract: { readonly type: string; readonly version: number; readonly upcasts: Upcasts },
  from: number,
  data: unknown,
): unknown {
  if (from > contract.version) {
    throw new BehindCode(
      `'${contract.type}' version ${from} is newer than version ${contract.version} that this code knows`,
    );
  }
  if (!Number.isInteger(from) || from < 1)
    throw new Error(`'${contract.type}' has no version ${from}: they are 1, 2, 3 …`);
  let lifted = data;
  for (let version = from; version < contract.version; version++) {
    lifted = (contract.upcasts[version] as (old: unknown) => unknown)(lifted);
  }
  return lifted;
}
