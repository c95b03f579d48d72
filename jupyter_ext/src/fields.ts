/**
 * From a verb's description to the fields of a form, and from what the form says to the verb's options.
 */
import type { IAction, ITarget, Options } from './actions';
import type { IArg, IVerb } from './api';
import { capital, label } from './format';
import type { ISnapshot } from './model';

export interface IField {
  name: string;
  label: string;
  kind: 'text' | 'lines' | 'choice' | 'switch';
  required: boolean;
  /** What it says at first; a switch that is on says `true`. */
  value: string;
  help: string;
  /** Which keys a touch screen shows. */
  keys?: 'numeric' | 'decimal';
  choices?: string[];
  /** What the empty choice stands for. */
  blank?: string;
  /** Folded behind “More options”. */
  more: boolean;
}

const WHOLE = ['number', 'version', 'port', 'positive'];
const DECIMAL = ['float', 'share', 'cpus'];

/** What the dialog asks: all that the verb is given and the target leaves open; the important first. */
export function fieldsOf(verb: IVerb, action: IAction, target: ITarget, known: ISnapshot | null): IField[] {
  const shown = ['name', ...(action.needs ?? []), ...(action.ask ?? [])];
  const rank = ({ name, required }: IField): number =>
    shown.includes(name) ? shown.indexOf(name) : shown.length + (required ? 0 : 1);
  return open(verb, target)
    .filter(arg => action.only?.[arg.name]?.(target, known) ?? true)
    .map(arg => {
      const required = arg.required || !!action.needs?.includes(arg.name);
      return {
        ...controlOf(arg, required, offered(arg, target, known)),
        ...(action.values?.[arg.name] === undefined ? {} : { value: action.values[arg.name] }),
        name: arg.name,
        label: label(arg.name),
        help: arg.help,
        required,
        more: !required && !shown.includes(arg.name)
      };
    })
    .sort((a, b) => rank(a) - rank(b));
}

/** From what the form says to the verb's options. Empty fields are left out. */
export function optionsOf(
  verb: IVerb,
  action: IAction,
  target: ITarget,
  form: Record<string, string>
): Options {
  const options: Options = {};
  for (const arg of verb.args) {
    const given = target[arg.name as keyof ITarget];
    const text = (form[arg.name] ?? '').trim();
    if (given !== undefined) {
      options[arg.name] = given;
    } else if (text) {
      options[arg.name] = valueOf(arg, text);
    }
  }
  return action.settle?.(options) ?? options;
}

/** What the verb does, as a sentence; empty when it is not known yet. */
export function aboutOf(verb: IVerb | undefined): string {
  if (!verb) {
    return '';
  }
  const summary = `${capital(verb.summary)}.`;
  return verb.long && !/\bjob\b/.test(summary) ? `${summary} Runs as a job.` : summary;
}

/** The arguments that the target does not say. The server starts a long verb detached in any case. */
function open(verb: IVerb, target: ITarget): IArg[] {
  return verb.args.filter(
    arg => target[arg.name as keyof ITarget] === undefined && !(verb.long && arg.name === 'detach')
  );
}

function controlOf(
  arg: IArg,
  required: boolean,
  choices: string[] | null
): Pick<IField, 'kind' | 'value' | 'keys' | 'choices' | 'blank'> {
  if (arg.switch) {
    return { kind: 'switch', value: arg.default === true ? 'true' : '' };
  }
  const preset = arg.default === null || arg.repeat ? '' : `${arg.default as string | number}`;
  if (arg.repeat) {
    return { kind: 'lines', value: '' };
  }
  if (choices?.length) {
    const optional = !required && !preset;
    const all = optional ? ['', ...choices] : choices;
    return { kind: 'choice', value: preset || all[0], choices: all, blank: defaultIn(arg.help) };
  }
  const keys = WHOLE.includes(arg.type) ? 'numeric' : DECIMAL.includes(arg.type) ? 'decimal' : undefined;
  return { kind: 'text', value: preset, ...(keys ? { keys } : {}) };
}

/** What a person may choose from: what the description says, or what the sidebar knows. */
function offered(arg: IArg, target: ITarget, known: ISnapshot | null): string[] | null {
  switch (arg.offer) {
    case 'model':
      return (known?.status.models ?? []).map(model => model.name);
    case 'version': {
      const versions = (known?.versions ?? []).filter(
        one => target.name === undefined || one.name === target.name
      );
      return [...new Set(versions.map(one => one.version))].sort((a, b) => b - a).map(String);
    }
    default:
      return arg.choices;
  }
}

/** `the champion`, of a help that says `version (default: the champion)`. */
function defaultIn(help: string): string {
  return /\(default: ([^)]+)\)/.exec(help)?.[1] ?? '–';
}

/** A number where one is meant; what is none goes as it is, for the server to say what is wrong with it. */
function valueOf(arg: IArg, text: string): unknown {
  if (arg.switch) {
    return true;
  }
  if (arg.repeat) {
    return text
      .split('\n')
      .map(line => line.trim())
      .filter(line => line);
  }
  const number = Number(text);
  return [...WHOLE, ...DECIMAL].includes(arg.type) && Number.isFinite(number) ? number : text;
}
