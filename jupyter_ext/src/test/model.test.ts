import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Api } from '../api';
import type { IJob } from '../generated/records';
import { ProjectModel } from '../model';
import { VERSION } from '../version';
import { CORE, job, VERBS } from './records';

/** A server in a few lines: what it answers can be changed, what it was asked is kept. */
class Server {
  asked: string[] = [];
  version = VERSION;
  jobs: IJob[] = [];
  failure: { status: number; body: unknown } | null = null;

  readonly api = new Api('http://server/', async url => {
    const path = url.replace('http://server/mlops/api/', '');
    this.asked.push(path);
    if (this.failure) {
      return new Response(JSON.stringify(this.failure.body), { status: this.failure.status });
    }
    return new Response(JSON.stringify(this.answer(path.replace(/^verbs\//, '').split('?')[0])));
  });

  count(wanted: string): number {
    return this.asked.filter(path => path.split('?')[0].replace(/^verbs\//, '') === wanted).length;
  }

  private answer(path: string): unknown {
    const answers: Record<string, unknown> = {
      version: { version: this.version },
      verbs: { verbs: VERBS },
      overview: { ...CORE, jobs: { jobs: this.jobs } },
      jobs: { jobs: this.jobs }
    };
    return answers[path];
  }
}

describe('ProjectModel', () => {
  let server: Server;
  let model: ProjectModel;

  beforeEach(() => {
    vi.useFakeTimers();
    server = new Server();
    model = new ProjectModel(server.api);
  });

  afterEach(() => {
    model.dispose();
    vi.useRealTimers();
  });

  it('reads nothing before someone looks', async () => {
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.asked).toEqual([]);
  });

  it('reads everything when it becomes visible, and tells', async () => {
    const changed = vi.fn();
    model.changed.connect(changed);
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    expect(model.snapshot?.status.project).toBe('trips');
    expect(model.snapshot?.versions.length).toBe(3);
    expect(model.snapshot?.runs.map(run => run.status)).toEqual(['finished', 'finished', 'finished']);
    expect(model.snapshot?.deployments.length).toBe(1);
    expect(model.loading).toBe(false);
    expect(changed).toHaveBeenCalled();
  });

  it('asks for all that it needs at once, and for what verbs are given once a session', async () => {
    void model.refresh();
    void model.refresh();
    expect(server.asked.sort()).toEqual(['overview?project=', 'overview?project=', 'verbs', 'version']);
    await vi.advanceTimersByTimeAsync(10);
    await model.refresh();
    expect(server.count('version')).toBe(1);
    expect(server.count('verbs')).toBe(1);
    expect(model.verb('promote')?.args.map(arg => arg.name)).toEqual(['name', 'version', 'why', 'force']);
    expect(model.verb('nonsense')).toBeUndefined();
  });

  it('reads once when it starts, whoever asks first', async () => {
    model.folder = 'work';
    model.visible = true;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(server.asked.sort()).toEqual(['overview?project=work', 'verbs', 'version']);
  });

  it('asks again for what it did not get', async () => {
    server.failure = { status: 503, body: { error: 'X', message: 'Locked.' } };
    await model.refresh();
    expect(model.trouble?.kind).toBe('error');
    server.failure = null;
    await model.refresh();
    expect(model.trouble).toBeNull();
    expect(model.snapshot).not.toBeNull();
    expect(model.verb('gate')).toBeDefined();
  });

  it('looks every 15 seconds while nothing runs', async () => {
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    const before = server.count('overview');
    await vi.advanceTimersByTimeAsync(12_000);
    expect(server.count('overview')).toBe(before);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(server.count('overview')).toBe(before + 1);
  });

  it('looks at the jobs every 3 seconds while one runs', async () => {
    server.jobs = [job(1)];
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    const jobs = server.count('jobs');
    const status = server.count('overview');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.count('jobs') - jobs).toBe(3);
    expect(server.count('overview')).toBe(status);
  });

  it('tells once when a job has ended, and reads everything again', async () => {
    const ended: string[] = [];
    model.jobEnded.connect((_, one) => ended.push(`${one.id} ${one.state}`));
    server.jobs = [job(1)];
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    const status = server.count('overview');
    server.jobs = [job(1, { state: 'failed', error: 'cell 3' })];
    await vi.advanceTimersByTimeAsync(3_100);
    expect(ended).toEqual(['1 failed']);
    expect(server.count('overview')).toBe(status + 1);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(ended).toEqual(['1 failed']);
  });

  it('stops when nobody looks', async () => {
    server.jobs = [job(1)];
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    model.visible = false;
    const before = server.asked.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.asked.length).toBe(before);
  });

  it('shows the folder that was chosen last, whichever answer comes first', async () => {
    model.visible = true;
    model.folder = 'a';
    model.folder = 'b';
    await vi.advanceTimersByTimeAsync(50);
    expect(model.folder).toBe('b');
    expect(server.asked.filter(path => path.includes('project=b')).length).toBeGreaterThan(0);
    expect(model.snapshot).not.toBeNull();
  });

  it('knows a missing server extension', async () => {
    server.failure = { status: 404, body: { message: 'Not Found' } };
    await model.refresh();
    expect(model.trouble).toEqual({ kind: 'no-extension' });
  });

  it('knows a server extension of another version', async () => {
    server.version = '0.0.9';
    await model.refresh();
    expect(model.trouble).toEqual({ kind: 'other-version', server: '0.0.9' });
    expect(model.snapshot).toBeNull();
  });

  it('knows a folder that is no project', async () => {
    await model.refresh();
    server.failure = { status: 404, body: { error: 'NotFound', message: 'There is no mlops.toml.' } };
    await model.refresh();
    expect(model.trouble).toEqual({ kind: 'no-project' });
    expect(model.snapshot).toBeNull();
  });

  it('keeps what it knew through a failure, with the sentence', async () => {
    await model.refresh();
    server.failure = { status: 503, body: { error: 'X', message: 'Locked.', next_step: 'Wait.' } };
    await model.refresh();
    expect(model.trouble).toEqual({ kind: 'error', message: 'Locked.', nextStep: 'Wait.' });
    expect(model.snapshot).not.toBeNull();
  });
});
