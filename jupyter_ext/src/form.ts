/**
 * The body of an action's dialog: what it does, its fields, and the line that does the same.
 */
import type { Dialog } from '@jupyterlab/apputils';
import { addIcon, copyIcon } from '@jupyterlab/ui-components';
import type { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import type { IField } from './fields';
import { capital } from './format';

const PAUSE = 150; // milliseconds of no typing before the line is asked for

export interface IFormOptions {
  about: string;
  fields: readonly IField[];
  /** The line for what the form says now. */
  line: (form: Record<string, string>) => Promise<string>;
  /** Inserts the line as a cell; absent without an active notebook. */
  insert?: (line: string) => void;
  copy: (line: string) => void;
}

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

export class ActionForm extends Widget implements Dialog.IBodyWidget<Record<string, string>> {
  constructor(private readonly options: IFormOptions) {
    super();
    this.addClass('mlops-Form');
    this.node.append(element('p', 'mlops-Form-about', options.about));
    const [shown, more] = [false, true].map(folded => options.fields.filter(one => one.more === folded));
    this.node.append(...shown.map(field => this._row(field)));
    if (more.length) {
      const fold = element('details', 'mlops-Form-more');
      fold.append(element('summary', '', 'More options'), ...more.map(field => this._row(field)));
      this.node.append(fold);
    }
    this.node.append(this._lineBox());
    this.node.addEventListener('input', () => this._later());
    this.node.addEventListener('change', () => this._later());
    void this._showLine();
  }

  getValue(): Record<string, string> {
    return Object.fromEntries([...this._controls].map(([name, control]) => [name, valueOf(control)]));
  }

  dispose(): void {
    window.clearTimeout(this._timer);
    super.dispose();
  }

  private _row(field: IField): HTMLElement {
    const control = controlFor(field);
    control.name = field.name;
    control.required = field.required;
    control.setAttribute('aria-label', field.label);
    this._controls.set(field.name, control);
    const row = element('label', 'mlops-Form-row');
    row.append(element('span', 'mlops-Form-label', field.label));
    if (field.kind === 'switch') {
      const box = element('span', 'mlops-Form-switch');
      box.append(control, helpOf(field, control));
      row.append(box);
    } else {
      row.append(control, ...(field.more ? [helpOf(field, control)] : []));
    }
    return row;
  }

  private _lineBox(): HTMLElement {
    const box = element('div', 'mlops-Line');
    this._code.setAttribute('aria-label', 'Equivalent line');
    box.append(this._code);
    box.append(tool(copyIcon, 'Copy the line', () => this.options.copy(this._line)));
    const insert = this.options.insert;
    if (insert) {
      box.append(tool(addIcon, 'Insert the line as a cell', () => insert(this._line)));
    }
    return box;
  }

  private _later(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._showLine(), PAUSE);
  }

  private async _showLine(): Promise<void> {
    // What is still missing shows as an ellipsis, so that the line can be read before all is filled in.
    const form = this.getValue();
    for (const field of this.options.fields) {
      if (field.required && !form[field.name].trim()) {
        form[field.name] = '…';
      }
    }
    const asked = ++this._asked;
    let text: string;
    let wrong = false;
    try {
      text = await this.options.line(form);
    } catch (problem) {
      text = problem instanceof Error ? problem.message : String(problem);
      wrong = true;
    }
    if (asked === this._asked && !this.isDisposed) {
      this._line = wrong ? '' : text;
      this._code.textContent = text;
      this._code.classList.toggle('mlops-mod-wrong', wrong);
    }
  }

  private readonly _controls = new Map<string, Control>();
  private readonly _code = element('code', 'mlops-Line-code');
  private _line = '';
  private _asked = 0;
  private _timer = 0;
}

/** A switch says `true` or nothing, as an empty field does. */
function valueOf(control: Control): string {
  const off = control instanceof HTMLInputElement && control.type === 'checkbox' && !control.checked;
  return off ? '' : control.value;
}

/** What the field is about, beside or below it; a screen reader reads it after the field's name. */
function helpOf(field: IField, control: Control): HTMLElement {
  const help = element('span', 'mlops-Form-help', capital(field.help));
  help.id = `mlops-help-${field.name}`;
  control.setAttribute('aria-describedby', help.id);
  return help;
}

function controlFor(field: IField): Control {
  if (field.kind === 'switch') {
    const box = document.createElement('input');
    box.type = 'checkbox';
    box.value = 'true';
    box.checked = field.value === 'true';
    return box;
  }
  if (field.kind === 'choice') {
    const select = document.createElement('select');
    select.className = 'jp-mod-styled';
    for (const choice of field.choices ?? []) {
      const option = document.createElement('option');
      option.value = choice;
      option.textContent = choice || (field.blank ?? '');
      option.selected = choice === field.value;
      select.append(option);
    }
    return select;
  }
  const control = document.createElement(field.kind === 'lines' ? 'textarea' : 'input');
  control.className = 'jp-mod-styled';
  control.value = field.value;
  control.placeholder = field.more ? '' : capital(field.help);
  control.spellcheck = field.name === 'why';
  if (control instanceof HTMLInputElement) {
    control.pattern = '.*\\S.*'; // blanks alone are not a reason
    control.inputMode = field.keys ?? 'text';
  }
  if (control instanceof HTMLTextAreaElement) {
    control.rows = 3;
  }
  return control;
}

function tool(icon: LabIcon, label: string, act: () => void): HTMLElement {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'mlops-IconButton';
  button.title = label;
  button.setAttribute('aria-label', label);
  icon.element({ container: button, elementPosition: 'center', width: '16px' });
  button.addEventListener('click', act);
  return button;
}

function element(tag: string, className: string, text = ''): HTMLElement {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}
