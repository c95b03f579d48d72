import * as React from 'react';
import { createRoot } from 'react-dom/client';
import type { Root } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ISnapshot, Trouble } from '../model';
import { nextVerb } from '../view/sections';
import { Sidebar } from '../view/sidebar';
import { CORE, deployment, job, snapshot, version } from './records';

// React's own; its types follow only in version 19.
const act: (work: () => void) => void = (React as any).act;

(globalThis as any).IS_REACT_ACT_ENVIRONMENT = true;

const does = {
  perform: vi.fn(),
  menu: vi.fn(),
  cancel: vi.fn(),
  openNotebook: vi.fn(),
  insert: vi.fn()
};

let host: HTMLElement;
let root: Root;

beforeEach(() => {
  vi.clearAllMocks();
  host = document.createElement('div');
  document.body.append(host);
  root = createRoot(host);
});

afterEach(() => {
  act(() => root.unmount());
  host.remove();
});

function show(known: ISnapshot | null, trouble: Trouble | null = null, folder = 'work/air'): void {
  act(() =>
    root.render(
      <Sidebar
        snapshot={known}
        trouble={trouble}
        loading={false}
        folder={folder}
        act={does}
        refresh={() => undefined}
      />
    )
  );
}

function button(label: string): HTMLButtonElement {
  const found = [...host.querySelectorAll('button')].find(
    one => (one.getAttribute('aria-label') ?? one.textContent) === label
  );
  if (!found) {
    throw new Error(`no button '${label}' in ${host.innerHTML}`);
  }
  return found;
}

describe('the sidebar', () => {
  it('shows the project and its four lists', () => {
    show(snapshot());
    expect(host.querySelector('h2')?.textContent).toBe('air');
    const sections = [...host.querySelectorAll('section')].map(one => one.getAttribute('aria-label'));
    expect(sections).toEqual(['Models', 'Runs', 'Deployments', 'Jobs']);
    expect(host.textContent).toContain('0.7123');
    expect(host.textContent).toContain('champion');
  });

  it('offers the next step of each version', () => {
    show(snapshot());
    act(() => button('Promote flights v2').click());
    expect(does.perform).toHaveBeenCalledWith('promote', { name: 'flights', version: 2 });
    act(() => button('Serve flights v1').click());
    expect(does.perform).toHaveBeenCalledWith('serve', { name: 'flights', version: 1 });
  });

  it('opens the menus of a model and of a version', () => {
    show(snapshot());
    act(() => button('Actions for flights').click());
    expect(does.menu.mock.calls[0][0]).toEqual({ name: 'flights' });
    act(() => button('Actions for flights v2').click());
    expect(does.menu.mock.calls[1][0]).toEqual({ name: 'flights', version: 2 });
  });

  it('folds a list, and says so to a screen reader', () => {
    show(snapshot());
    const toggle = host.querySelector<HTMLButtonElement>('section[aria-label=Runs] button')!;
    expect(toggle.getAttribute('aria-expanded')).toBe('true');
    act(() => toggle.click());
    expect(toggle.getAttribute('aria-expanded')).toBe('false');
    const list = document.getElementById(toggle.getAttribute('aria-controls')!)!;
    expect(list.hidden).toBe(true);
  });

  it('shows few of many versions, but always the champion', () => {
    const many = Array.from({ length: 30 }, (_, i) =>
      version(30 - i, i === 29 ? { aliases: ['champion'] } : {})
    );
    show(snapshot({ versions: many }));
    const rows = () => [...host.querySelectorAll('.mlops-Version')].map(one => one.textContent);
    expect(rows().length).toBe(7);
    expect(rows()[6]).toContain('champion');
    act(() => button('Show 23 more').click());
    expect(rows().length).toBe(30);
  });

  it('says what a deployment follows', () => {
    const one = deployment({ version: 2 });
    show(snapshot({ deployments: [one, { ...one, id: '2', follows: 'champion' }] }));
    const rows = [...host.querySelectorAll('section[aria-label=Deployments] li')].map(row => row.textContent);
    expect(rows[0]).not.toContain('follows');
    expect(rows[1]).toContain('follows champion');
  });

  it('shows how far a job is, and cancels it', () => {
    show(snapshot({ jobs: [job(7)] }));
    const bar = host.querySelector('progress')!;
    expect(bar.getAttribute('value')).toBe('50');
    expect(host.textContent).toContain('cell 2 of 4');
    act(() => button('Cancel job 7').click());
    expect(does.cancel).toHaveBeenCalledWith(expect.objectContaining({ id: 7 }));
  });

  it('shows an unknown fraction as an indeterminate bar', () => {
    show(snapshot({ jobs: [job(7, { fraction: null })] }));
    expect(host.querySelector('progress')!.hasAttribute('value')).toBe(false);
  });

  it('shows why a job failed, and opens its notebook', () => {
    show(snapshot({ jobs: [job(7, { state: 'failed', error: 'Cell 3: KeyError', notebook: '/n.ipynb' })] }));
    expect(host.textContent).toContain('Cell 3: KeyError');
    act(() => button('Open the notebook of job 7').click());
    expect(does.openNotebook).toHaveBeenCalled();
  });

  it('shows a finished run as what went well', () => {
    show(snapshot());
    const dot = host.querySelector('section[aria-label=Runs] .mlops-Dot')!;
    expect([dot.getAttribute('aria-label'), dot.getAttribute('data-tone')]).toEqual(['finished', 'good']);
  });

  it('writes values as text, never as HTML', () => {
    show(snapshot({ jobs: [job(7, { state: 'failed', error: '<img src=x onerror=alert(1)>' })] }));
    expect(host.querySelector('img')).toBeNull();
  });

  it('says what to type where there is no project', () => {
    show(null, { kind: 'no-project' });
    act(() => button('Insert %mlops init air').click());
    expect(does.insert).toHaveBeenCalledWith('%mlops init air');
  });

  it('says what to type where nothing is registered', () => {
    const empty = snapshot({ versions: [], runs: [] });
    show({ ...empty, status: { ...empty.status, models: [] } });
    expect(host.textContent).toContain('%mlops register model --name NAME');
    expect(host.textContent).toContain('%%mlops run --name NAME');
  });

  it('says which command to run when the server part is missing or another version', () => {
    show(null, { kind: 'no-extension' });
    expect(host.textContent).toContain('jupyter server extension enable mlops_jupyter');
    show(null, { kind: 'other-version', server: '9.9' });
    expect(host.textContent).toContain('9.9');
    expect(host.textContent).toContain('pip install');
  });

  it('gives every icon-only button a name', () => {
    show(snapshot({ jobs: [job(7)] }));
    for (const one of host.querySelectorAll('button')) {
      expect(one.getAttribute('aria-label') || one.textContent).toBeTruthy();
    }
  });
});

describe('nextVerb', () => {
  const model = { ...CORE.status.models[0], name: 'flights', champion: 2, versions: 4, serving: null };
  const verb = (number: number, gate: 'passed' | 'failed' | null, served: number[] = []) =>
    nextVerb(
      version(number, { gate }),
      model,
      served.map(one => deployment({ version: one })),
      4
    )?.verb;

  it('leads from the gate over promotion to serving', () => {
    expect(verb(4, null)).toBe('gate');
    expect(verb(4, 'failed')).toBe('gate');
    expect(verb(4, 'passed')).toBe('promote');
    expect(verb(3, 'passed')).toBe('promote');
    expect(verb(3, null)).toBeUndefined();
    expect(verb(2, 'passed')).toBe('serve');
    expect(verb(2, 'passed', [2])).toBeUndefined();
    expect(verb(1, 'passed')).toBeUndefined();
    const retired = version(4, { gate: 'passed', state: 'retired' });
    expect(nextVerb(retired, model, [], 4)).toBeNull();
  });
});
