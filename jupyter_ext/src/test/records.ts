/** Records as the server sends them, for the tests. */
import type { IJob, IRun, IVersion } from '../api';
import type { ISnapshot } from '../model';

export function version(number: number, changes: Partial<IVersion> = {}): IVersion {
  return {
    name: 'flights',
    version: number,
    aliases: [],
    state: 'candidate',
    created: '2026-01-01T00:00:00+00:00',
    metrics: { roc_auc: 0.7123456 },
    run_id: 'r1',
    gate: null,
    image: null,
    ...changes
  };
}

export function job(id: number, changes: Partial<IJob> = {}): IJob {
  return {
    id,
    kind: 'retrain',
    model: 'flights',
    state: 'running',
    step: 'cell 2 of 4',
    fraction: 0.5,
    created: '2026-01-01T00:00:00+00:00',
    ended: null,
    error: null,
    notebook: null,
    line: 'retrain flights',
    result: null,
    ...changes
  };
}

export function run(name: string): IRun {
  return {
    id: `id-${name}`,
    name,
    status: 'FINISHED',
    started: '2026-01-01T00:00:00+00:00',
    seconds: 1,
    metrics: { roc_auc: 0.8 },
    params: { depth: '4' }
  };
}

export function snapshot(changes: Partial<ISnapshot> = {}): ISnapshot {
  return {
    status: {
      project: 'air',
      root: '/home/ada/air',
      models: [{ name: 'flights', champion: 1, versions: 2, serving: null }],
      running_jobs: 0,
      warnings: []
    },
    versions: [version(2, { gate: 'passed' }), version(1, { aliases: ['champion'], state: 'champion', gate: 'passed' })],
    runs: [run('january')],
    deployments: [],
    jobs: [],
    ...changes
  };
}
