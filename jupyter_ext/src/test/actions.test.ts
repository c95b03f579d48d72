import { describe, expect, it } from 'vitest';

import packageJson from '../../package.json';
import { ACTIONS, actionOf, outcome, titleOf } from '../actions';
import { VERSION } from '../version';
import { verb, VERBS } from './records';

describe('actions', () => {
  it('are verbs, and name options that these have', () => {
    for (const action of ACTIONS) {
      const names = verb(action.verb).args.map(arg => arg.name);
      const named = [
        action.ask,
        action.needs,
        Object.keys(action.values ?? {}),
        Object.keys(action.only ?? {})
      ];
      expect(names).toEqual(expect.arrayContaining(named.flatMap(some => some ?? [])));
    }
  });

  it('need no row for a form: any verb has a name', () => {
    expect(actionOf('lineage').label).toBe('Lineage');
    expect(ACTIONS.length).toBeLessThan(VERBS.length);
  });

  it('are titled by what they act on', () => {
    expect(titleOf({ name: 'flights', version: 2 })).toBe('flights v2');
    expect(titleOf({})).toBe('');
  });

  it('say what has happened: a job only where there is one', () => {
    const said = (name: 'serve' | 'retire' | 'approve' | 'build', value: object = {}) =>
      outcome(actionOf(name), 'flights v2', value);
    expect(said('serve', { url: 'http://127.0.0.1:1' })).toBe('flights v2 answers at http://127.0.0.1:1.');
    expect(said('retire')).toBe('flights v2 is retired.');
    expect(said('approve')).toBe('flights v2 is approved by you.');
    expect(said('build', { id: 4 })).toBe('Job 4 has started: build flights v2.');
  });
});

describe('the version', () => {
  it('is that of the package', () => {
    expect(VERSION).toBe(packageJson.version);
  });
});
