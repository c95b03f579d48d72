import { describe, expect, it } from 'vitest';

import { Api, ApiError, changes } from '../api';
import { EFFECTS } from '../generated/verbs';
import type { VerbName } from '../generated/verbs';

interface ISent {
  url: string;
  method?: string;
  body?: unknown;
}

/** An Api whose server answers the same to everything, and what it was asked. */
function answering(status: number, body: unknown): { api: Api; sent: ISent[] } {
  const sent: ISent[] = [];
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const api = new Api('http://server/base/', async (url, init) => {
    sent.push({ url, method: init.method, body: init.body && JSON.parse(init.body as string) });
    return new Response(text, { status });
  });
  return { api, sent };
}

describe('Api', () => {
  it('reads a verb of a project', async () => {
    const { api, sent } = answering(200, { runs: [{ id: '1' }] });
    expect(await api.call('runs', 'a folder/ö', {})).toEqual({ runs: [{ id: '1' }] });
    expect(sent).toEqual([
      {
        url: 'http://server/base/mlops/api/verbs/runs?project=a%20folder%2F%C3%B6',
        method: 'GET',
        body: undefined
      }
    ]);
  });

  it('posts the options of a verb', async () => {
    const { api, sent } = answering(200, {});
    await api.call('promote', 'work', { name: 'flights', version: 2, why: 'better' });
    expect(sent[0]).toEqual({
      url: 'http://server/base/mlops/api/verbs/promote?project=work',
      method: 'POST',
      body: { name: 'flights', version: 2, why: 'better' }
    });
  });

  it('puts the options of what only reads into the address, several of one name too', async () => {
    const { api, sent } = answering(200, {});
    await api.call('runs', 'work', { plot: ['depth', 'auc & f1'], limit: 5, ascending: false, where: '' });
    await api.call('alerts', 'work', { everything: true });
    expect(sent.map(one => [one.method, one.url.split('?')[1]])).toEqual([
      ['GET', 'plot=depth&plot=auc%20%26%20f1&limit=5&project=work'],
      ['GET', 'everything=true&project=work']
    ]);
  });

  it('posts what would change something', async () => {
    const { api, sent } = answering(200, {});
    await api.call('jobs', 'work', { cancel: 3 });
    await api.call('alerts', 'work', { action: 'ack', id: 3 });
    await api.call('alerts', 'work', { action: 'list' });
    await api.html('gate', 'work', { name: 'flights', explain: true });
    expect(sent.map(one => one.method)).toEqual(['POST', 'POST', 'GET', 'POST']);
    expect(sent[3].url).toContain('html=1');
    const reading = (Object.keys(EFFECTS) as VerbName[]).filter(verb => !changes(verb, {}));
    expect(reading).toEqual(
      expect.arrayContaining(['status', 'images', 'card', 'ledger', 'compare', 'drift'])
    );
    expect(reading).not.toContain('register');
  });

  it('asks the server for the line, so that there is one place that makes it', async () => {
    const { api, sent } = answering(200, { line: '%mlops stop flights' });
    expect(await api.line('stop', { name: 'flights' })).toBe('%mlops stop flights');
    expect(sent[0].body).toEqual({ verb: 'stop', options: { name: 'flights' } });
  });

  it('turns an error into its sentence and its next step', async () => {
    const { api } = answering(409, { error: 'GateFailed', message: 'Red.', next_step: 'Look.' });
    const failed = await api.overview('').catch(problem => problem);
    expect(failed).toBeInstanceOf(ApiError);
    expect(failed).toMatchObject({ status: 409, kind: 'GateFailed', message: 'Red.', nextStep: 'Look.' });
  });

  it('takes a page instead of JSON for a missing extension', async () => {
    const { api } = answering(404, '<html>');
    await expect(api.version()).rejects.toMatchObject({ status: 404, kind: 'NotJson' });
  });

  it('says so when nobody answers', async () => {
    const api = new Api('http://server/', () => Promise.reject(new TypeError('fetch failed')));
    await expect(api.version()).rejects.toMatchObject({ status: 0, kind: 'NoAnswer' });
  });
});
