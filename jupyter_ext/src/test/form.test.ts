import { afterEach, describe, expect, it, vi } from 'vitest';

import { actionOf } from '../actions';
import { fieldsOf, optionsOf } from '../fields';
import { ActionForm } from '../form';
import type { VerbName } from '../generated/verbs';
import { snapshot, verb } from './records';

const target = { name: 'flights', version: 1 };
let form: ActionForm;

function show(name: VerbName): { node: HTMLElement; control: (label: string) => any; lines: string[] } {
  const lines: string[] = [];
  form = new ActionForm({
    about: '',
    fields: fieldsOf(verb(name), actionOf(name), target, snapshot()),
    line: async filled => {
      lines.push(JSON.stringify(optionsOf(verb(name), actionOf(name), target, filled)));
      return 'the line';
    },
    copy: vi.fn()
  });
  const control = (label: string) =>
    [...form.node.querySelectorAll('label')]
      .find(row => row.querySelector('.mlops-Form-label')!.textContent === label)!
      .querySelector('input, select, textarea');
  return { node: form.node, control, lines };
}

describe('the form', () => {
  afterEach(() => form.dispose());

  it('folds what is seldom wanted behind one line', () => {
    const { node } = show('serve');
    const fold = node.querySelector('details')!;
    expect(fold.open).toBe(false);
    expect(fold.querySelector('summary')!.textContent).toBe('More options');
    expect(node.querySelectorAll(':scope > label').length).toBe(0);
    expect(fold.querySelectorAll('label').length).toBe(6);
  });

  it('has no fold where there is nothing to fold', () => {
    expect(show('stop').node.querySelector('details')).toBeNull();
  });

  it('gives back what was filled in, folded or not', () => {
    const { control } = show('serve');
    control('Kind').value = 'process';
    control('Port').value = '8080';
    control('Docker').checked = true;
    expect(form.getValue()).toMatchObject({ kind: 'process', port: '8080', docker: 'true', follow: '' });
  });

  it('shows the line at once, with an ellipsis for what is missing', async () => {
    const { node, lines } = show('promote');
    await vi.waitFor(() => expect(node.querySelector('code')!.textContent).toBe('the line'));
    expect(lines).toEqual([JSON.stringify({ name: 'flights', version: 1, why: '…' })]);
  });

  it('explains what is asked', () => {
    const { node, control } = show('promote');
    expect(control('Why').placeholder).toBe('Reason, kept in the ledger');
    const force = control('Force');
    const help = node.querySelector(`#${force.getAttribute('aria-describedby')}`);
    expect(help!.textContent).toBe('Without a green gate or approvals; recorded as such');
    expect(force.getAttribute('aria-label')).toBe('Force');
  });
});
