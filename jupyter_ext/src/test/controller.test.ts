import { InputDialog, Notification } from '@jupyterlab/apputils';
import { Signal } from '@lumino/signaling';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { Api } from '../api';
import { Controller } from '../controller';
import type { IQuestion } from '../dialog';
import { job, snapshot, verb } from './records';

vi.mock('@jupyterlab/apputils', () => ({
  Clipboard: {},
  InputDialog: { getItem: vi.fn() },
  Notification: { emit: vi.fn(), dismiss: vi.fn(), error: vi.fn(), success: vi.fn(), warning: vi.fn() }
}));

const getItem = vi.mocked(InputDialog.getItem);

type Form = Record<string, string> | null;
interface Answer {
  status?: number;
  body: object;
}

/** A controller at a desk: what the server answers and the person fills in, in turn; and what came of it. */
function desk(names: string[], setup: { forms?: Form[]; answers?: Answer[]; notebook?: boolean } = {}) {
  const { forms = [], answers = [], notebook = true } = setup;
  const ran: string[] = [];
  const sent: { method: string; path: string; body: unknown }[] = [];
  const asked: IQuestion[] = [];
  const shown: string[] = [];
  const api = new Api('http://server/', async (url, init) => {
    const path = url.replace('http://server/mlops/api/', '');
    const body: unknown = init.body ? JSON.parse(init.body as string) : undefined;
    if (path === 'line') {
      const { verb: name, options } = body as { verb: string; options: { name: string } };
      return new Response(JSON.stringify({ line: `%mlops ${name} ${options.name}` }));
    }
    sent.push({ method: init.method!, path, body });
    const { status = 200, body: answer } = answers.shift() ?? { body: {} };
    return new Response(JSON.stringify(answer), { status });
  });
  const model: any = { api, folder: 'air', verb, snapshot: snapshot(), refresh: vi.fn() };
  model.snapshot.status.models = names.map(name => ({ ...model.snapshot.status.models[0], name }));
  model.jobEnded = new Signal(model);
  const cells: any = {
    available: notebook,
    insertAndRun: async (line: string) => notebook && ran.push(line) > 0
  };
  const controller = new Controller(model, cells, {
    ask: async question => {
      asked.push(question);
      return forms.shift() ?? null;
    },
    page: title => shown.push(title),
    html: async (title, html) => shown.push(`${title}: ${html}`)
  });
  return { controller, model, ran, sent, asked, shown };
}

beforeEach(() => {
  vi.clearAllMocks();
});

const said = () => vi.mocked(Notification.emit).mock.calls.map(([message, kind]) => `${kind}: ${message}`);

describe('perform', () => {
  const target = { name: 'flights', version: 2 };

  it('asks what the description says, sends it, says how it went, and looks again', async () => {
    const { controller, model, sent, asked } = desk(['flights'], { forms: [{ why: 'better', force: '' }] });
    await controller.perform('promote', target);
    expect(asked[0]).toMatchObject({ title: 'Promote flights v2', accept: 'Promote', warn: false });
    expect(asked[0].fields.map(field => field.name)).toEqual(['why', 'force']);
    expect(await asked[0].line({ why: 'better' })).toBe('%mlops promote flights');
    expect(sent).toEqual([
      { method: 'POST', path: 'verbs/promote?project=air', body: { ...target, why: 'better' } }
    ]);
    expect(said()).toEqual(['success: flights v2 is the champion.']);
    expect(model.refresh).toHaveBeenCalledOnce();
  });

  it('does nothing when the question is dismissed', async () => {
    const { controller, sent } = desk(['flights'], { forms: [null] });
    await controller.perform('stop', { name: 'flights' });
    expect(sent).toEqual([]);
  });

  it('asks a second time before it promotes against a red gate, and only once', async () => {
    const red = { status: 409, body: { error: 'GateFailed', message: 'It is red.', next_step: 'Look.' } };
    const { controller, asked, sent } = desk(['flights'], {
      forms: [{ why: 'must' }, {}],
      answers: [red, red]
    });
    await controller.perform('promote', target);
    expect(asked.map(one => one.title)).toEqual([
      'Promote flights v2',
      'Promote flights v2 without a green gate?'
    ]);
    expect(asked[1].about).toContain('It is red. Look.');
    expect(sent.map(one => one.body)).toEqual([
      { ...target, why: 'must' },
      { ...target, why: 'must', force: true }
    ]);
    expect(said()).toEqual(['error: It is red. Look.']);
  });

  it('says that a job has started where the verb is long', async () => {
    const { controller } = desk(['flights'], { forms: [{}], answers: [{ status: 202, body: { id: 7 } }] });
    await controller.perform('build', target);
    expect(said()).toEqual(['success: Job 7 has started: build flights v2.']);
  });

  it('shows what the gate asks on a page, and does not call that green', async () => {
    const { controller, sent, shown } = desk(['flights'], {
      forms: [{ explain: 'true' }],
      answers: [{ body: { html: '<p>all</p>' } }]
    });
    await controller.perform('gate', target);
    expect(sent[0].path).toBe('verbs/gate?project=air&html=1');
    expect(shown).toEqual(['Gate flights v2: <p>all</p>']);
    expect(said()).toEqual([]);
  });

  it('says what is wrong and what next', async () => {
    const wrong = { status: 404, body: { error: 'NotFound', message: 'None.', next_step: 'Serve it.' } };
    const { controller } = desk(['flights'], { forms: [{}], answers: [wrong] });
    await controller.perform('stop', { name: 'flights' });
    expect(said()).toEqual(['error: None. Serve it.']);
  });
});

describe('cancel', () => {
  it('asks first, and posts', async () => {
    const { controller, sent, asked } = desk(['flights'], { forms: [{}] });
    await controller.cancel(job(7));
    expect(asked[0]).toMatchObject({ title: 'Cancel job 7', warn: true, fields: [] });
    expect(sent).toEqual([{ method: 'POST', path: 'verbs/jobs?project=air', body: { cancel: 7 } }]);
  });
});

describe('drift', () => {
  it('asks which of several models is meant', async () => {
    getItem.mockResolvedValue({ button: { accept: true }, value: 'delays' } as any);
    const { controller, ran } = desk(['flights', 'delays']);
    await controller.drift();
    expect(getItem.mock.calls[0][0].items).toEqual(['flights', 'delays']);
    expect(ran).toEqual(['%mlops drift delays']);
  });

  it('does nothing when the question is dismissed', async () => {
    getItem.mockResolvedValue({ button: { accept: false }, value: 'flights' } as any);
    const { controller, ran } = desk(['flights', 'delays']);
    await controller.drift();
    expect(ran).toEqual([]);
  });

  it('does not ask about the only model, nor when it was named', async () => {
    const one = desk(['flights']);
    await one.controller.drift();
    const two = desk(['flights', 'delays']);
    await two.controller.drift('delays');
    expect([...one.ran, ...two.ran]).toEqual(['%mlops drift flights', '%mlops drift delays']);
    expect(getItem).not.toHaveBeenCalled();
  });

  it('shows the picture where there is no notebook to run a cell in', async () => {
    const { controller, sent, shown } = desk(['flights'], {
      notebook: false,
      answers: [{ body: { html: '<svg/>' } }]
    });
    await controller.drift();
    expect(sent[0]).toMatchObject({ method: 'GET', path: 'verbs/drift?name=flights&project=air&html=1' });
    expect(shown).toEqual(['Drift of flights: <svg/>']);
  });
});

describe('a job that has ended', () => {
  it('is announced, with its outcome or what went wrong', () => {
    const { model } = desk(['flights']);
    const result = { outcome: 'version 3 is champion' };
    model.jobEnded.emit(job(7, { state: 'succeeded', result }));
    model.jobEnded.emit(job(8, { state: 'failed', error: 'Cell 3: KeyError' }));
    expect(vi.mocked(Notification.success).mock.calls[0][0]).toBe(
      'Job 7 (retrain flights): version 3 is champion.'
    );
    expect(vi.mocked(Notification.error).mock.calls[0][0]).toBe(
      'Job 8 (retrain flights) failed: Cell 3: KeyError'
    );
  });
});
