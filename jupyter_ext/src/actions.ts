/**
 * What can be done from the sidebar, as far as a verb's description cannot say it: which verbs are offered where, what
 * is asked at once, and what to say afterwards. One list for buttons, menus and the command palette.
 */
import { label } from './format';
import { LONG } from './generated/verbs';
import type { VerbName } from './generated/verbs';
import type { ISnapshot } from './model';

export interface ITarget {
  name?: string;
  version?: number;
}

export type Options = Record<string, unknown>;

export interface IAction {
  verb: VerbName;
  label: string;
  /** Whose menu it is in. */
  on?: 'model' | 'version';
  /** Options asked at once beside the required ones, in this order; the rest is behind “More options”. */
  ask?: readonly string[];
  /** Options that the verb could do without, and a person who clicks cannot. */
  needs?: readonly string[];
  /** What a field says before anything is typed. */
  values?: Readonly<Record<string, string>>;
  /** Options that have a meaning for some targets only. */
  only?: Readonly<Record<string, (target: ITarget, known: ISnapshot | null) => boolean>>;
  /** The last word on the options, where one of them excludes another. */
  settle?: (options: Options) => Options;
  /** Whether these options ask for something to read: it is shown on a page. */
  page?: (options: Options) => boolean;
  /** The button is coloured as a warning. */
  warn?: boolean;
  /** What to say when it went well. */
  done?: (subject: string, value: Record<string, unknown>) => string;
}

export const ACTIONS: readonly IAction[] = [
  {
    verb: 'promote',
    label: 'Promote',
    on: 'version',
    needs: ['version'],
    done: subject => `${subject} is the champion.`
  },
  {
    verb: 'gate',
    label: 'Gate',
    on: 'version',
    ask: ['version', 'first'],
    // With a champion the gate compares.
    only: { first: (target, known) => championOf(target, known) === undefined },
    page: options => options['explain'] === true,
    done: subject => `The gate of ${subject} is green.`
  },
  {
    verb: 'approve',
    label: 'Approve',
    on: 'version',
    needs: ['version'],
    done: subject => `${subject} is approved by you.`
  },
  { verb: 'build', label: 'Build', on: 'version', ask: ['version'] },
  {
    verb: 'serve',
    label: 'Serve',
    on: 'version',
    ask: ['version'],
    // What follows is asked of the champion's row, or of none; the alias then names the version.
    only: { follow: (target, known) => [undefined, championOf(target, known)].includes(target.version) },
    settle: options => (options['follow'] ? without(options, 'version') : options),
    done: (subject, value) => `${subject} answers at ${String(value['url'])}.`
  },
  { verb: 'retire', label: 'Retire', on: 'version', needs: ['version'], warn: true, done: is('retired') },
  {
    verb: 'retrain',
    label: 'Retrain',
    on: 'model',
    ask: ['notebook', 'parameters'],
    values: { notebook: 'retrain.ipynb' }
  },
  { verb: 'rollback', label: 'Roll back', on: 'model', warn: true, done: is('rolled back') },
  { verb: 'stop', label: 'Stop', on: 'model', warn: true, done: is('stopped') }
];

/** How the sidebar offers a verb; one that it has no row for gets a form like any other. */
export function actionOf(verb: VerbName): IAction {
  return ACTIONS.find(action => action.verb === verb) ?? { verb, label: label(verb) };
}

/** What to say when it went well. */
export function outcome(action: IAction, subject: string, value: unknown): string {
  const said = (value ?? {}) as Record<string, unknown>;
  if (LONG.has(action.verb)) {
    return `Job ${String(said['id'])} has started: ${action.verb} ${subject}.`;
  }
  return action.done?.(subject, said) ?? `${action.label} ${subject}: done.`;
}

/** `flights v3`, `flights`, or nothing when the dialog asks. */
export function titleOf(target: ITarget): string {
  return [target.name, target.version && `v${target.version}`].filter(Boolean).join(' ');
}

function is(state: string): (subject: string) => string {
  return subject => `${subject} is ${state}.`;
}

function championOf(target: ITarget, known: ISnapshot | null): number | undefined {
  return known?.versions.find(one => one.name === target.name && one.aliases.includes('champion'))?.version;
}

function without(options: Options, name: string): Options {
  return Object.fromEntries(Object.entries(options).filter(([key]) => key !== name));
}
