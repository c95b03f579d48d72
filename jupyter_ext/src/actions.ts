/**
 * What can be done from the sidebar: a form a verb. One list for buttons, menus and the command palette.
 */
import type { IOptions, VerbName } from './api';
import type { ISnapshot } from './model';

export interface ITarget {
  name?: string;
  version?: number;
}

export interface IField {
  name: string;
  label: string;
  kind: 'text' | 'lines' | 'choice' | 'switch';
  required: boolean;
  value: string;
  placeholder?: string;
  choices?: string[];
}

export type ActionName = Exclude<VerbName, 'drift' | 'jobs' | 'init'>;

export interface IAction {
  verb: ActionName;
  label: string;
  /** One sentence under the dialog's title. */
  about: string;
  /** Whether it needs a version, may have one (the champion otherwise), or acts on the model. */
  version: 'needed' | 'optional' | 'none';
  fields: IField[];
  /** The button is coloured as a warning. */
  warn?: boolean;
}

const WHY: IField = {
  name: 'why',
  label: 'Why',
  kind: 'text',
  required: true,
  value: '',
  placeholder: 'The reason, kept in the ledger'
};

/** Asked only while the model has no champion: with one, the gate compares. */
const FIRST: IField = {
  name: 'first',
  label: 'First',
  kind: 'switch',
  required: false,
  value: '',
  placeholder: 'There is no champion to compare with: this may be the first'
};

export const ACTIONS: readonly IAction[] = [
  {
    verb: 'promote',
    label: 'Promote',
    about: 'Makes this version the champion. The gate must be green.',
    version: 'needed',
    fields: [WHY]
  },
  {
    verb: 'gate',
    label: 'Gate',
    about: 'Decides whether this version may become champion, and keeps the evidence.',
    version: 'needed',
    fields: [FIRST]
  },
  {
    verb: 'approve',
    label: 'Approve',
    about: 'Vouches for this version on its newest gate report. The ledger keeps who and why.',
    version: 'needed',
    fields: [WHY]
  },
  {
    verb: 'build',
    label: 'Build',
    about: 'Builds the Docker image that serves this version. Runs as a job.',
    version: 'optional',
    fields: []
  },
  {
    verb: 'serve',
    label: 'Serve',
    about: 'Puts this version behind HTTP: in its container if it has an image, else in a local process.',
    version: 'optional',
    fields: []
  },
  {
    verb: 'stop',
    label: 'Stop',
    about: 'Stops serving this model. Its address no longer answers.',
    version: 'none',
    fields: [],
    warn: true
  },
  {
    verb: 'rollback',
    label: 'Roll back',
    about: 'Makes the previous champion the champion again.',
    version: 'none',
    fields: [WHY],
    warn: true
  },
  {
    verb: 'retire',
    label: 'Retire',
    about: 'Puts this version out of use: stopped, without aliases, archived with its evidence.',
    version: 'needed',
    fields: [WHY],
    warn: true
  },
  {
    verb: 'retrain',
    label: 'Retrain',
    about: 'Runs a notebook as a job. What it registers is promoted if it passes the gate.',
    version: 'none',
    fields: [
      {
        name: 'notebook',
        label: 'Notebook',
        kind: 'text',
        required: true,
        value: 'retrain.ipynb',
        placeholder: 'Path from the folder of the active notebook'
      },
      {
        name: 'parameters',
        label: 'Parameters',
        kind: 'lines',
        required: false,
        value: '',
        placeholder: 'name=value, one a line'
      }
    ]
  }
];

export function actionOf(verb: ActionName): IAction {
  return ACTIONS.find(action => action.verb === verb)!;
}

/** The fields of the dialog: those of the action, after a choice of what the target leaves open. */
export function fieldsFor(action: IAction, target: ITarget, known: ISnapshot | null): IField[] {
  const fields: IField[] = [];
  if (target.name === undefined) {
    const names = (known?.status.models ?? []).map(model => model.name);
    fields.push(choice('name', 'Model', names));
  }
  if (target.version === undefined && action.version !== 'none') {
    const versions = (known?.versions ?? [])
      .filter(one => target.name === undefined || one.name === target.name)
      .map(one => one.version);
    const offered = [...new Set(versions)].sort((a, b) => b - a).map(String);
    const none = action.version === 'optional' ? [''] : [];
    fields.push(choice('version', 'Version', [...none, ...offered]));
  }
  return [...fields, ...action.fields.filter(field => field !== FIRST || !hasChampion(target, known))];
}

function hasChampion(target: ITarget, known: ISnapshot | null): boolean {
  return (known?.versions ?? []).some(one => one.name === target.name && one.aliases.includes('champion'));
}

function choice(name: string, label: string, choices: string[]): IField {
  return { name, label, kind: 'choice', required: choices[0] !== '', value: choices[0] ?? '', choices };
}

/** From what the form says to the verb's options. Empty fields are left out. */
export function optionsOf(
  action: IAction,
  target: ITarget,
  form: Record<string, string>
): IOptions[ActionName] {
  const options: Record<string, unknown> = {};
  const name = target.name ?? form['name'];
  if (name) {
    options['name'] = name;
  }
  const version = target.version ?? Number(form['version'] || 0);
  if (version && action.version !== 'none') {
    options['version'] = version;
  }
  for (const field of action.fields) {
    const text = (form[field.name] ?? '').trim();
    if (text) {
      options[field.name] =
        field.kind === 'lines' ? splitLines(text) : field.kind === 'switch' ? true : text;
    }
  }
  return options as unknown as IOptions[ActionName];
}

function splitLines(text: string): string[] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line);
}

/** `flights v3`, `flights`, or nothing when the dialog asks. */
export function titleOf(target: ITarget): string {
  return [target.name, target.version && `v${target.version}`].filter(Boolean).join(' ');
}
