/** How figures, times and words are written in the sidebar. */
import type { IJob } from './generated/records';

const STEPS: [number, string][] = [
  [60, 's'],
  [60, 'min'],
  [24, 'h'],
  [30, 'd'],
  [12, 'mo'],
  [Infinity, 'y']
];

/** How long ago an ISO 8601 time is: `3 min`; an empty string for no time. */
export function age(iso: string | null, now = Date.now()): string {
  if (!iso) {
    return '';
  }
  let value = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (!Number.isFinite(value)) {
    return '';
  }
  if (value < 10) {
    return 'now';
  }
  for (const [size, unit] of STEPS) {
    if (value < size) {
      return `${Math.floor(value)} ${unit}`;
    }
    value /= size;
  }
  return '';
}

/** Local date and time, for tooltips. */
export function moment(iso: string | null): string {
  return iso ? new Date(iso).toLocaleString() : '';
}

/** Four significant digits, as the tables in the notebook. */
export function figure(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** The figure of the first metric; an empty string when there is none. Its name is in the row's tooltip. */
export function firstFigure(metrics: Record<string, number>): string {
  const [value] = Object.values(metrics);
  return value === undefined ? '' : figure(value);
}

/** All of a record, a line each, for tooltips. */
export function lines(record: Record<string, number | string>): string {
  return Object.entries(record)
    .map(([name, value]) => `${name}: ${typeof value === 'number' ? figure(value) : value}`)
    .join('\n');
}

/** `fast_only` as it stands before a field: `Fast only`. */
export function label(name: string): string {
  return capital(name.replace(/_/g, ' '));
}

export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The sentence of what a job's verb returned; an empty string if it has none. */
export function outcomeOf(job: IJob): string {
  const said = job.result?.['outcome'];
  return typeof said === 'string' ? said : '';
}
