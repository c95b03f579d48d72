/**
 * Carries out what was clicked: asks, calls the server, says how it went.
 */
import { Clipboard, Dialog, InputDialog, Notification } from '@jupyterlab/apputils';

import { actionOf, fieldsFor, optionsOf, titleOf } from './actions';
import type { ActionName, IAction, ITarget } from './actions';
import { ApiError } from './api';
import type { IJob, IOptions } from './api';
import { ActionForm } from './form';
import { ProjectModel } from './model';
import type { NotebookCells } from './notebook';

/** How long a good message stays, in milliseconds. Bad ones stay until they are dismissed. */
const STAY = 5000;
/** What is over sooner than this is not announced, only its outcome, in milliseconds. */
const PATIENCE = 400;

export interface IOpeners {
  /** Shows a whole page in a frame of its own, in the main area. */
  page: (title: string, html: string) => void;
  /** Shows HTML that the server made, in the main area. */
  html: (title: string, html: string) => Promise<unknown>;
}

export class Controller {
  constructor(
    readonly model: ProjectModel,
    readonly cells: NotebookCells,
    private readonly open: IOpeners
  ) {
    model.jobEnded.connect((_, job) => this.announce(job));
  }

  /** Asks for what is open and carries the verb out. */
  async perform(verb: ActionName, target: ITarget = {}): Promise<void> {
    const action = actionOf(verb);
    const form = await this.ask(action, target);
    if (form) {
      await this.carryOut(action, optionsOf(action, target, form));
    }
  }

  /**
   * Runs `%mlops drift` as a visible cell; without a notebook, shows the static picture. Without a name, asks
   * which model is meant.
   */
  async drift(given?: string): Promise<void> {
    const name = given ?? (await this.whichModel('Drift of Which Model?'));
    if (name === undefined) {
      return;
    }
    const line = await this.saying(() => this.model.api.line('drift', { name }));
    if (line === undefined || (await this.cells.insertAndRun(line))) {
      return;
    }
    const html = await this.working(`Comparing what ${name} is asked now with its training data …`, () =>
      this.model.api.driftHtml(this.model.folder, name)
    );
    if (html !== undefined) {
      await this.open.html(`Drift of ${name}`, html);
    }
  }

  /** Asks, then cancels a job. */
  async cancel(job: IJob): Promise<void> {
    const form = await this.dialog(`Cancel job ${job.id}`, 'Cancel the job', true, {
      about: `Ends the ${job.kind} of ${job.model}. What it has not finished is not kept.`,
      fields: [],
      line: () => this.model.api.line('jobs', { cancel: job.id })
    });
    if (form) {
      await this.saying(() => this.model.api.act('jobs', this.model.folder, { cancel: job.id }));
      await this.model.refresh();
    }
  }

  /** Shows the notebook that a job has run. */
  async openNotebook(job: IJob): Promise<void> {
    const html = await this.saying(() => this.model.api.notebookHtml(this.model.folder, job.id));
    if (html !== undefined) {
      this.open.page(`Job ${job.id}: ${job.kind} ${job.model}`, html);
    }
  }

  /** Inserts a line as a cell, or says that there is no notebook to insert into. */
  async insert(line: string): Promise<void> {
    if (!(await this.cells.insert(line))) {
      Notification.warning('There is no active notebook. Open one, then insert the line again.', {
        autoClose: STAY
      });
    }
  }

  copy(line: string): void {
    Clipboard.copyToSystem(line);
    Notification.success(`Copied: ${line}`, { autoClose: STAY / 2 });
  }

  /** The only model, or the one that the person picks. */
  private async whichModel(title: string): Promise<string | undefined> {
    const items = (this.model.snapshot?.status.models ?? []).map(model => model.name);
    if (items.length < 2) {
      return items[0];
    }
    const { button, value } = await InputDialog.getItem({ title, items });
    return button.accept && value !== null ? value : undefined;
  }

  private async ask(action: IAction, target: ITarget): Promise<Record<string, string> | null> {
    const api = this.model.api;
    return this.dialog(
      `${action.label} ${titleOf(target)}`.trim(),
      action.label,
      !!action.warn,
      {
        about: action.about,
        fields: fieldsFor(action, target, this.model.snapshot),
        line: form => api.line(action.verb, optionsOf(action, target, form))
      }
    );
  }

  private async dialog(
    title: string,
    accept: string,
    warn: boolean,
    form: Pick<ActionForm.IOptions, 'about' | 'fields' | 'line'>
  ): Promise<Record<string, string> | null> {
    const body = new ActionForm({
      ...form,
      copy: line => this.copy(line),
      insert: this.cells.available
        ? line => {
            // The person chose the cell over the button.
            dialog.reject();
            void this.insert(line);
          }
        : undefined
    });
    const button = (warn ? Dialog.warnButton : Dialog.okButton)({ label: accept });
    const dialog: Dialog<Record<string, string>> = new Dialog({
      title,
      body,
      buttons: [Dialog.cancelButton(), button],
      // Enter must not confirm by accident what is coloured as a warning and asks for nothing.
      defaultButton: warn && !form.fields.length ? 0 : 1,
      focusNodeSelector: 'input, textarea, select'
    });
    dialog.addClass('mlops-Dialog');
    // JupyterLab up to 4.6.4 (apputils 4.7.4) keeps Enter from every button that is not at the dialog's foot.
    dialog.node.addEventListener(
      'keydown',
      event => {
        if (event.key === 'Enter' && (event.target as Element).closest('.mlops-Form button')) {
          event.stopImmediatePropagation();
        }
      },
      true
    );
    // JupyterLab looks at what is required only after something was typed.
    void dialog.ready.then(() => body.node.dispatchEvent(new Event('input', { bubbles: true })));
    const result = await dialog.launch();
    return result.button.accept ? (result.value ?? {}) : null;
  }

  private async carryOut(action: IAction, options: IOptions[ActionName]): Promise<void> {
    const { model } = this;
    const subject = titleOf(options as ITarget);
    // A red gate is no failure of the button: it leads to the second question.
    const refusal = (problem: unknown): ApiError => {
      if (problem instanceof ApiError && problem.kind === 'GateFailed' && mayInsist(action.verb, options)) {
        return problem;
      }
      throw problem;
    };
    const value = await this.working(
      `${action.label} ${subject} …`,
      () => model.api.act(action.verb, model.folder, options as never).catch(refusal),
      result => (result instanceof ApiError ? '' : sentence(action.verb, subject, result))
    );
    await model.refresh();
    if (value instanceof ApiError) {
      await this.insist(action, options as IOptions['promote'], value);
    }
  }

  /** The second step of a promotion whose gate is not green: only with a second yes. */
  private async insist(action: IAction, options: IOptions['promote'], why: ApiError): Promise<void> {
    const forced = { ...options, force: true };
    const title = `Promote ${titleOf(options)} without a green gate?`;
    const form = await this.dialog(title, 'Promote anyway', true, {
      about: `${why.message} ${why.nextStep} Promoting anyway is kept in the ledger as such.`,
      fields: [],
      line: () => this.model.api.line('promote', forced)
    });
    if (form) {
      await this.carryOut(action, forced);
    }
  }

  /** Shows that something is going on, then how it went. Resolves with undefined after a failure. */
  private async working<T>(
    pending: string,
    work: () => Promise<T>,
    done?: (value: T) => string
  ): Promise<T | undefined> {
    let id = '';
    const patience = window.setTimeout(() => {
      id = Notification.emit(pending, 'in-progress', { autoClose: false });
    }, PATIENCE);
    const say = (message: string, type: 'success' | 'error', autoClose: number | false): void => {
      if (id) {
        Notification.dismiss(id); // an updated one would never close by itself
      }
      Notification.emit(message, type, { autoClose });
    };
    try {
      const value = await work();
      const message = done?.(value);
      if (message) {
        say(message, 'success', STAY);
      } else if (id) {
        Notification.dismiss(id);
      }
      return value;
    } catch (problem) {
      say(words(problem), 'error', false);
      return undefined;
    } finally {
      window.clearTimeout(patience);
    }
  }

  /** As `working`, for what is over in a moment: only a failure is worth a message. */
  private async saying<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (problem) {
      Notification.error(words(problem), { autoClose: false });
      return undefined;
    }
  }

  private announce(job: IJob): void {
    const what = `Job ${job.id} (${job.kind} ${job.model})`;
    const actions = job.notebook
      ? [{ label: 'Open the notebook', callback: () => void this.openNotebook(job) }]
      : [];
    if (job.state === 'failed') {
      Notification.error(`${what} failed: ${job.error ?? 'its log says why.'}`, { autoClose: false, actions });
    } else if (job.state === 'succeeded') {
      const outcome = job.result?.outcome;
      const message = outcome ? `${what}: ${outcome}.` : `${what} succeeded.`;
      Notification.success(message, { autoClose: STAY, actions });
    }
  }
}

/** A failure as a person reads it: the sentence, then the next step. */
export function words(problem: unknown): string {
  if (problem instanceof ApiError) {
    return `${problem.message} ${problem.nextStep}`.trim();
  }
  return problem instanceof Error ? problem.message : `${problem}`;
}

/** Only a promotion that was not forced yet can be insisted on. */
function mayInsist(verb: ActionName, options: IOptions[ActionName]): boolean {
  return verb === 'promote' && !(options as IOptions['promote']).force;
}

/** What to say when it went well. */
function sentence(verb: ActionName, subject: string, value: any): string {
  switch (verb) {
    case 'promote':
      return `${subject} is the champion.`;
    case 'gate':
      return `The gate of ${subject} is green.`;
    case 'rollback':
      return `${subject} is rolled back.`;
    case 'serve':
      return `${subject} answers at ${value?.url ?? 'its address'}.`;
    case 'stop':
      return `${subject} is stopped.`;
    default:
      return `Job ${value?.id ?? ''} has started: ${verb} ${subject}.`;
  }
}
