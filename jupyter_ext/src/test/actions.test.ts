import { describe, expect, it } from 'vitest';

import { actionOf, fieldsFor, optionsOf, titleOf } from '../actions';
import packageJson from '../../package.json';
import { age, figure } from '../format';
import { VERSION } from '../version';
import { snapshot } from './records';

describe('actions', () => {
  it('ask only for what the target leaves open', () => {
    const promote = actionOf('promote');
    const names = (target: object) => fieldsFor(promote, target, snapshot()).map(field => field.name);
    expect(names({ name: 'flights', version: 2 })).toEqual(['why']);
    expect(names({ name: 'flights' })).toEqual(['version', 'why']);
    expect(names({})).toEqual(['name', 'version', 'why']);
  });

  it('let the champion be served without naming a version', () => {
    const [, choice] = fieldsFor(actionOf('serve'), {}, snapshot());
    expect(choice).toMatchObject({ choices: ['', '2', '1'], required: false });
    expect(optionsOf(actionOf('serve'), {}, { name: 'flights', version: '' })).toEqual({ name: 'flights' });
  });

  it('turn a form into the options of the verb', () => {
    const form = { notebook: ' retrain.ipynb ', parameters: 'month=6\n\n rows = 10 \n' };
    expect(optionsOf(actionOf('retrain'), { name: 'flights' }, form)).toEqual({
      name: 'flights',
      notebook: 'retrain.ipynb',
      parameters: ['month=6', 'rows = 10']
    });
  });

  it('ask for a first version only while there is no champion', () => {
    const gate = actionOf('gate');
    const names = (target: object) => fieldsFor(gate, target, snapshot()).map(field => field.name);
    expect(names({ name: 'flights', version: 2 })).toEqual([]);
    expect(names({ name: 'other', version: 1 })).toEqual(['first']);
    expect(names({})).toEqual(['name', 'version', 'first']);
    const target = { name: 'other', version: 1 };
    expect(optionsOf(gate, target, { first: 'true' })).toEqual({ ...target, first: true });
    expect(optionsOf(gate, target, { first: '' })).toEqual(target);
  });

  it('never send a version to a verb that takes none', () => {
    const target = { name: 'flights', version: 3 };
    expect(optionsOf(actionOf('stop'), target, {})).toEqual({ name: 'flights' });
  });

  it('are titled by what they act on', () => {
    expect(titleOf({ name: 'flights', version: 2 })).toBe('flights v2');
    expect(titleOf({})).toBe('');
  });
});

describe('figures and times', () => {
  it('have four significant digits', () => {
    expect([0.7123456, 12345.6, 1, 1e-7].map(figure)).toEqual(['0.7123', '12350', '1', '1e-7']);
  });

  it('count from now', () => {
    const now = Date.parse('2026-01-02T00:00:00Z');
    const of = (iso: string | null) => age(iso, now);
    expect(of('2026-01-01T23:59:58Z')).toBe('now');
    expect(of('2026-01-01T23:59:18Z')).toBe('42 s');
    expect(of('2026-01-01T23:57:00+00:00')).toBe('3 min');
    expect(of('2026-01-01T21:00:00Z')).toBe('3 h');
    expect(of('2025-12-30T00:00:00Z')).toBe('3 d');
    expect(of('2020-01-01T00:00:00Z')).toBe('6 y');
    expect(of(null)).toBe('');
  });
});

describe('the version', () => {
  it('is that of the package', () => {
    expect(VERSION).toBe(packageJson.version);
  });
});
