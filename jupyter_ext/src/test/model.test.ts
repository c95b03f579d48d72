import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Api } from '../api';
import type { IJob } from '../api';
import { ProjectModel } from '../model';
import { VERSION } from '../version';
import { job, snapshot } from './records';

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

  count(verb: string): number {
    return this.asked.filter(path => path.startsWith(`verbs/${verb}`)).length;
  }

  private answer(verb: string): unknown {
    const known = snapshot();
    const answers: Record<string, unknown> = {
      version: { version: this.version },
      status: known.status,
      models: { models: known.versions },
      runs: { runs: known.runs },
      deployments: { deployments: [] },
      jobs: { jobs: this.jobs }
    };
    return answers[verb];
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
    expect(model.snapshot?.status.project).toBe('air');
    expect(model.snapshot?.versions.length).toBe(2);
    expect(model.loading).toBe(false);
    expect(changed).toHaveBeenCalled();
  });

  it('looks every 15 seconds while nothing runs', async () => {
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    const before = server.count('status');
    await vi.advanceTimersByTimeAsync(12_000);
    expect(server.count('status')).toBe(before);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(server.count('status')).toBe(before + 1);
  });

  it('looks at the jobs every 3 seconds while one runs', async () => {
    server.jobs = [job(1)];
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    const jobs = server.count('jobs');
    const status = server.count('status');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.count('jobs') - jobs).toBe(3);
    expect(server.count('status')).toBe(status);
  });

  it('tells once when a job has ended, and reads everything anew', async () => {
    const ended: string[] = [];
    model.jobEnded.connect((_, one) => ended.push(`${one.id} ${one.state}`));
    server.jobs = [job(1)];
    model.visible = true;
    await vi.advanceTimersByTimeAsync(10);
    const status = server.count('status');
    server.jobs = [job(1, { state: 'failed', error: 'cell 3' })];
    await vi.advanceTimersByTimeAsync(3_100);
    expect(ended).toEqual(['1 failed']);
    expect(server.count('status')).toBe(status + 1);
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
