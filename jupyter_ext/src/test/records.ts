/** Records for the tests: those that the core made (`make generated`), with what a test wants otherwise. */
import type { IOverview, IVerb } from '../api';
import fixtures from '../generated/fixtures.json';
import type { IAlert, IJob, ILive, IRun, IVersion } from '../generated/records';
import type { VerbName } from '../generated/verbs';
import verbs from '../generated/verbs.json';
import type { ISnapshot } from '../model';

/** A type as JSON has it when it is imported: without words that a string may only be. */
type Wide<T> = T extends string ? string : T extends object ? { [K in keyof T]: Wide<T[K]> } : T;

type Answers = IOverview & { alerts: { alerts: IAlert[] } };

/** What the core says about a small project, as the server answers it. */
export const CORE = fixtures satisfies Wide<Answers> as Answers;

export const VERBS: readonly IVerb[] = verbs satisfies IVerb[];

export function verb(name: VerbName): IVerb {
  return VERBS.find(one => one.name === name)!;
}

export function version(number: number, changes: Partial<IVersion> = {}): IVersion {
  const [newest] = CORE.models.models;
  return {
    ...newest,
    name: 'flights',
    version: number,
    aliases: [],
    state: 'candidate',
    metrics: { roc_auc: 0.7123456 },
    gate: null,
    ...changes
  };
}

export function job(id: number, changes: Partial<IJob> = {}): IJob {
  const running = CORE.jobs.jobs.find(one => one.state === 'running')!;
  return { ...running, id, model: 'flights', ...changes };
}

export function run(name: string): IRun {
  return { ...CORE.runs.runs[0], id: `id-${name}`, name };
}

export function deployment(changes: Partial<ILive> = {}): ILive {
  return { ...CORE.deployments.deployments[0], model: 'flights', follows: null, ...changes };
}

export function snapshot(changes: Partial<ISnapshot> = {}): ISnapshot {
  const [model] = CORE.status.models;
  return {
    status: {
      ...CORE.status,
      project: 'air',
      models: [{ ...model, name: 'flights', champion: 1, versions: 2, serving: null }],
      warnings: []
    },
    versions: [
      version(2, { gate: 'passed' }),
      version(1, { aliases: ['champion'], state: 'champion', gate: 'passed' })
    ],
    runs: [run('january')],
    deployments: [],
    jobs: [],
    ...changes
  };
}
