import { describe, expect, it } from 'vitest';

import { ACTIONS, actionOf } from '../actions';
import type { ITarget } from '../actions';
import { aboutOf, fieldsOf, optionsOf } from '../fields';
import type { IField } from '../fields';
import type { VerbName } from '../generated/verbs';
import { snapshot, verb, VERBS, version } from './records';

const fields = (name: VerbName, target: ITarget = {}) =>
  fieldsOf(verb(name), actionOf(name), target, snapshot());
const options = (name: VerbName, target: ITarget, form: Record<string, string>) =>
  optionsOf(verb(name), actionOf(name), target, form);
const atOnce = (name: VerbName, target: ITarget = {}) =>
  fields(name, target)
    .filter(field => !field.more)
    .map(field => field.name);
const field = (name: VerbName, option: string): IField => fields(name).find(one => one.name === option)!;

describe('the form of a verb', () => {
  it.each(VERBS.map(one => one.name as VerbName))('reaches every option of %s', name => {
    const detached = verb(name).long ? ['detach'] : []; // the server leaves it alone in any case
    const reached = [...fields(name).map(one => one.name), ...detached].sort();
    expect(reached).toEqual(
      verb(name)
        .args.map(arg => arg.name)
        .sort()
    );
  });

  it('asks only for what the target leaves open', () => {
    expect(atOnce('promote', { name: 'flights', version: 2 })).toEqual(['why']);
    expect(atOnce('promote', { name: 'flights' })).toEqual(['version', 'why']);
    expect(atOnce('promote')).toEqual(['name', 'version', 'why']);
  });

  it('folds what is seldom wanted, and never what is required', () => {
    const more = fields('promote', { name: 'flights', version: 2 }).filter(one => one.more);
    expect(more.map(one => one.name)).toEqual(['force']);
    for (const { verb: name } of ACTIONS) {
      expect(fields(name).filter(one => one.more && one.required)).toEqual([]);
    }
  });

  it('lets the champion be served without naming a version', () => {
    expect(field('serve', 'version')).toMatchObject({
      kind: 'choice',
      choices: ['', '2', '1'],
      blank: 'the champion',
      required: false
    });
    expect(options('serve', {}, { name: 'flights', version: '' })).toEqual({ name: 'flights' });
    expect(field('promote', 'version')).toMatchObject({ choices: ['2', '1'], value: '2', required: true });
  });

  it('has what the description says: choices, defaults, switches, several, numbers', () => {
    expect(field('serve', 'kind')).toMatchObject({ kind: 'choice', choices: ['', 'container', 'process'] });
    expect(field('register', 'format')).toMatchObject({ choices: ['skops', 'cloudpickle'], value: 'skops' });
    expect(field('build', 'fast_only')).toMatchObject({ kind: 'switch', label: 'Fast only', value: '' });
    expect(field('retrain', 'parameters')).toMatchObject({ kind: 'lines', more: false });
    expect(field('retrain', 'timeout')).toMatchObject({ kind: 'text', value: '3600', keys: 'numeric' });
    expect(field('serve', 'cpus').keys).toBe('decimal');
    expect(field('retrain', 'notebook')).toMatchObject({ kind: 'text', value: 'retrain.ipynb' });
    expect(field('promote', 'why').help).toBe('reason, kept in the ledger');
  });

  it('asks in words where the sidebar knows nothing to choose from', () => {
    const [name] = fieldsOf(verb('stop'), actionOf('stop'), {}, null);
    expect(name).toMatchObject({ name: 'name', kind: 'text', required: true });
  });

  it('asks for a first version only while there is no champion', () => {
    expect(atOnce('gate', { name: 'flights', version: 2 })).toEqual([]);
    expect(fields('gate', { name: 'flights', version: 2 }).map(one => one.name)).not.toContain('first');
    expect(atOnce('gate', { name: 'other', version: 1 })).toEqual(['first']);
    expect(atOnce('gate')).toEqual(['name', 'version', 'first']);
    const target = { name: 'other', version: 1 };
    expect(options('gate', target, { first: 'true' })).toEqual({ ...target, first: true });
    expect(options('gate', target, { first: '' })).toEqual(target);
  });

  it('offers to follow the champion where the champion is meant', () => {
    const names = (target: ITarget) => fields('serve', target).map(one => one.name);
    expect(names({ name: 'flights', version: 1 })).toContain('follow');
    expect(names({ name: 'flights', version: 2 })).not.toContain('follow');
    // what follows serves the version of an alias: it must not name one
    const target = { name: 'flights', version: 1 };
    expect(options('serve', target, { follow: 'true' })).toEqual({ name: 'flights', follow: true });
  });

  it('becomes the options of the verb', () => {
    const form = { notebook: ' retrain.ipynb ', parameters: 'month=6\n\n rows = 10 \n', timeout: '60' };
    expect(options('retrain', { name: 'flights' }, form)).toEqual({
      name: 'flights',
      notebook: 'retrain.ipynb',
      parameters: ['month=6', 'rows = 10'],
      timeout: 60
    });
  });

  it('leaves it to the server to say what is wrong with a number', () => {
    expect(options('serve', { name: 'flights' }, { port: 'http' })).toEqual({
      name: 'flights',
      port: 'http'
    });
    expect(options('serve', { name: 'flights' }, { version: '2', port: '80' })).toEqual({
      name: 'flights',
      version: 2,
      port: 80
    });
  });

  it('never sends a version to a verb that takes none', () => {
    expect(options('stop', { name: 'flights', version: 3 }, {})).toEqual({ name: 'flights' });
  });

  it('offers the versions of the model that is meant', () => {
    const other = version(9, { name: 'delays' });
    const known = snapshot({ versions: [other, ...snapshot().versions] });
    const [choice] = fieldsOf(verb('promote'), actionOf('promote'), { name: 'flights' }, known);
    expect(choice.choices).toEqual(['2', '1']);
  });

  it('says what the verb does, and that it takes its time', () => {
    expect(aboutOf(verb('promote'))).toBe('Make a version the champion.');
    expect(aboutOf(verb('build'))).toMatch(/ Runs as a job\.$/);
    expect(aboutOf(verb('retrain'))).not.toMatch(/Runs as a job/);
  });
});
