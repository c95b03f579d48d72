import { describe, expect, it } from 'vitest';

import { age, figure, label, outcomeOf } from '../format';
import { CORE } from './records';

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

describe('words', () => {
  it('stand before fields as people write them', () => {
    expect(label('fast_only')).toBe('Fast only');
  });

  it('of a job are those that its verb has returned', () => {
    expect(CORE.jobs.jobs.map(outcomeOf)).toEqual(['', '', 'version 2 did not pass the gate']);
  });
});
