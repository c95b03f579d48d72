/**
 * What the sidebar knows: the project's records, kept fresh, with signals when they change.
 */
import { Poll } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { ApiError } from './api';
import type { Api, IOverview, IVerb } from './api';
import type { IJob, ILive, IRun, IProjectStatus, IVersion } from './generated/records';
import { VERSION } from './version';

export interface ISnapshot {
  status: IProjectStatus;
  versions: IVersion[];
  runs: IRun[];
  deployments: ILive[];
  jobs: IJob[];
}

/** Why there is nothing to show, and what to do about it. */
export type Trouble =
  | { kind: 'no-extension' }
  | { kind: 'other-version'; server: string }
  | { kind: 'no-project' }
  | { kind: 'error'; message: string; nextStep: string };

export interface ITiming {
  /** Milliseconds between looks while a job runs. */
  busy: number;
  /** Milliseconds between looks otherwise. */
  idle: number;
}

export class ProjectModel {
  constructor(
    readonly api: Api,
    private readonly timing: ITiming = { busy: 3000, idle: 15000 }
  ) {
    this._poll = new Poll<void, unknown, 'stop' | 'tick'>({
      auto: false,
      name: 'mlops-workbench:model',
      factory: () => this._look(),
      // It ticks as often as a running job wants; `_look` lets most ticks pass when none runs.
      frequency: { interval: timing.busy, backoff: false },
      // Hidden sidebar or hidden browser tab: no requests.
      standby: () => (this._visible ? 'when-hidden' : true)
    });
  }

  /** Emitted after anything below has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Emitted once for each job that came to an end while we watched. */
  get jobEnded(): ISignal<this, IJob> {
    return this._jobEnded;
  }

  /** Path of the folder below the server's root, in which the project is looked for. */
  get folder(): string {
    return this._folder;
  }

  set folder(value: string) {
    if (value !== this._folder) {
      this._folder = value;
      void this.refresh();
    }
  }

  get snapshot(): ISnapshot | null {
    return this._snapshot;
  }

  /** What a verb is given; undefined before there is a snapshot. */
  verb(name: string): IVerb | undefined {
    return this._verbs.get(name);
  }

  get trouble(): Trouble | null {
    return this._trouble;
  }

  get loading(): boolean {
    return this._loading;
  }

  /** Whether someone can see the sidebar. Becoming visible looks at once. */
  set visible(value: boolean) {
    if (value === this._visible || this._disposed) {
      return;
    }
    this._visible = value;
    if (value) {
      this._freshen();
      void this._poll.start();
    } else {
      void this._poll.stop();
    }
  }

  dispose(): void {
    this._disposed = true;
    this._poll.dispose();
    Signal.clearData(this);
  }

  /** Reads everything again. Never rejects: failures become `trouble`. */
  async refresh(): Promise<void> {
    const turn = ++this._turn;
    this._loading = true;
    this._changed.emit();
    let snapshot: ISnapshot | null = null;
    let trouble: Trouble | null = null;
    try {
      // All at once: the first content waits for one answer, not for a chain of them.
      const read = this._read(this._folder);
      read.catch(() => undefined); // what a failed handshake says comes first
      trouble = await this._handshake();
      snapshot = trouble ? null : await read;
    } catch (problem) {
      trouble = troubleOf(problem);
      // A hiccup of the network leaves what was known on the screen, with the sentence above it.
      snapshot = trouble.kind === 'error' && this._shown === this._folder ? this._snapshot : null;
    }
    if (turn !== this._turn || this._disposed) {
      return; // another folder was chosen meanwhile
    }
    this._loading = false;
    this._trouble = trouble;
    this._lastFull = Date.now();
    this._accept(snapshot);
  }

  /** Once a session: whether both sides are of one version, and what each verb is given. */
  private async _handshake(): Promise<Trouble | null> {
    this._greeting ??= this._greet();
    let greeted = false;
    try {
      const trouble = await this._greeting;
      greeted = !trouble;
      return trouble;
    } finally {
      if (!greeted) {
        this._greeting = null;
      }
    }
  }

  private async _greet(): Promise<Trouble | null> {
    const asked = this.api.verbs();
    asked.catch(() => undefined); // what the version says comes first
    try {
      const { version } = await this.api.version();
      if (version !== VERSION) {
        return { kind: 'other-version', server: version };
      }
    } catch (problem) {
      if (problem instanceof ApiError && problem.status === 404) {
        return { kind: 'no-extension' };
      }
      throw problem;
    }
    this._verbs = new Map((await asked).map(verb => [verb.name, verb]));
    return null;
  }

  private async _read(folder: string): Promise<ISnapshot> {
    return snapshotOf(await this.api.overview(folder));
  }

  /** Reads everything, unless that is being done: nothing has happened that a second answer would show. */
  private _freshen(): void {
    if (!this._loading) {
      void this.refresh();
    }
  }

  /** One tick: only the jobs while one runs; everything when one ended or time is up; else nothing. */
  private async _look(): Promise<void> {
    const known = this._snapshot;
    const folder = this._folder;
    if (Date.now() - this._lastFull >= this.timing.idle) {
      return this._freshen();
    }
    if (!known || !known.jobs.some(isLive)) {
      return;
    }
    try {
      const jobs = await this.api.jobs(folder);
      if (folder !== this._folder || this._snapshot !== known) {
        return;
      }
      const ended = known.jobs.some(job => isLive(job) && !isLive(find(jobs, job)));
      this._accept({ ...known, jobs });
      if (ended) {
        return this.refresh();
      }
    } catch {
      return this.refresh(); // which says what is wrong
    }
  }

  private _accept(snapshot: ISnapshot | null): void {
    const before = this._shown === this._folder ? this._snapshot : null;
    this._snapshot = snapshot;
    this._shown = this._folder;
    this._changed.emit();
    for (const job of snapshot?.jobs ?? []) {
      const was = before?.jobs.find(other => other.id === job.id);
      if (was && isLive(was) && !isLive(job)) {
        this._jobEnded.emit(job);
      }
    }
  }

  private readonly _poll: Poll<void, unknown, 'stop' | 'tick'>;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _jobEnded = new Signal<this, IJob>(this);
  private _folder = '';
  private _shown: string | null = null;
  private _snapshot: ISnapshot | null = null;
  private _trouble: Trouble | null = null;
  private _loading = false;
  private _greeting: Promise<Trouble | null> | null = null;
  private _verbs: ReadonlyMap<string, IVerb> = new Map();
  private _visible = false;
  private _disposed = false;
  private _lastFull = 0;
  private _turn = 0;
}

function snapshotOf({ status, models, runs, deployments, jobs }: IOverview): ISnapshot {
  return { status, versions: models.models, runs: runs.runs, ...deployments, ...jobs };
}

export function isLive(job: IJob | undefined): boolean {
  return job?.state === 'queued' || job?.state === 'running';
}

function find(jobs: IJob[], job: IJob): IJob | undefined {
  return jobs.find(other => other.id === job.id);
}

function troubleOf(problem: unknown): Trouble {
  if (problem instanceof ApiError) {
    if (problem.status === 404 && problem.kind === 'NotFound') {
      return { kind: 'no-project' };
    }
    return { kind: 'error', message: problem.message, nextStep: problem.nextStep };
  }
  return { kind: 'error', message: String(problem), nextStep: '' };
}
